"""One masker for several cameras: every camera is answered, whatever the others do."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from camera_probe import NAMES, Camera, new_stamp, open_cameras, settled
from harness import MASKER, Stage, open_stage
from messages import image, pixels, stamps, with_stamp
from sensor_msgs.msg import Image

from samg_ros.errors import WeightsError
from samg_ros.masking.config import MaskerConfig
from samg_ros.masking.reference import Reference, find_reference
from samg_ros.ros.images import from_mask
from samg_ros.weights.resolve import resolve

# The method as it is, on so few pixels that a batch of four takes less than a second.
TINY = {"input_size": 128, "feature_size": 56, "scale_steps": 20, "threads": 1, "device": "cpu"}
# Two cameras share one, so there are three to be sought.
TASKS = dict(
    zip(NAMES, ("adroit_door", "adroit_hammer", "adroit_pen", "adroit_door"), strict=True)
)
# Their source is their own, and needs no reference.
ODD = {"mask_source": "none"}


def check_answers(camera: Camera) -> None:
    """Answers bear stamps and frame of what was sent, in that order, none twice."""
    for inbox in (camera.images, camera.masks):
        answered = stamps(inbox)
        assert answered == sorted(set(answered)) and set(answered) <= set(camera.sent)
        assert {msg.header.frame_id for msg in inbox} == {camera.name}


def check_batches(stage: Stage, cameras: dict[str, Camera]) -> None:
    """Every answered frame was in one batch."""
    by_size = {n: stage.probe.count("masker", f"batches_of_{n}") for n in range(1, len(NAMES) + 1)}
    masked = sum(size * number for size, number in by_size.items())
    assert masked == sum(camera.count("frames") for camera in cameras.values())
    assert by_size[len(NAMES)] > 0, by_size


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(tmp_path_factory.mktemp("many")) as stage:
        yield stage


@pytest.fixture(scope="module")
def cameras(opened: Stage) -> dict[str, Camera]:
    """Four cameras of a masker that lets everything through."""
    made = open_cameras(opened, mask_source="none", max_wait_ms=200)
    for camera in made.values():
        camera.start()
    for camera in made.values():
        camera.wait_for(1)
        camera.stop()
    return made


def test_four_cameras_at_their_rate(opened: Stage, cameras: dict[str, Camera]) -> None:
    for camera in cameras.values():
        camera.start()
    for camera in cameras.values():
        camera.wait_for(60)
    for camera in cameras.values():
        camera.stop()
    settled(opened, cameras)
    for camera in cameras.values():
        check_answers(camera)
        for msg in (camera.images[0], camera.images[-1]):
            np.testing.assert_array_equal(pixels(msg), camera.frame)
        assert len(camera.images) <= camera.count("frames") <= len(camera.sent)
        assert camera.count("refused_images") == camera.count("repeated") == 0
    check_batches(opened, cameras)
    for kind in ("received", "frames", "dropped"):
        assert opened.probe.count("masker", kind) == sum(c.count(kind) for c in cameras.values())


def test_one_malformed_camera_does_not_stop_the_others(
    opened: Stage, cameras: dict[str, Camera]
) -> None:
    bad, *good = cameras.values()
    before = {c.name: (len(c.images), c.count("frames")) for c in cameras.values()}

    def cut_short(msg: Image) -> None:
        msg.data = msg.data[:-10]

    bad.spoil = cut_short
    for camera in cameras.values():
        camera.start()
    for camera in good:
        camera.wait_for(before[camera.name][0] + 20)
    opened.probe.wait_for(lambda: bad.count("refused_images") >= 10, "refusals are counted")
    for camera in cameras.values():
        camera.stop()
    bad.spoil = lambda msg: None
    settled(opened, cameras)
    assert bad.count("frames") == before[bad.name][1]
    assert all(camera.count("refused_images") == 0 for camera in good)
    assert f"{bad.name}: frame refused: image data has" in opened.log("masker")
    bad.answer(bad.send())  # well again


def test_same_stamp_on_two_cameras(cameras: dict[str, Camera]) -> None:
    """A frame that is sent again is told by its own camera's frames."""
    left, right, stamp = cameras["left"], cameras["right"], new_stamp()
    left.send(stamp)
    first = left.answer(stamp)
    right.send(stamp)
    np.testing.assert_array_equal(pixels(right.answer(stamp)[0]), right.frame)
    left.send(stamp)
    left.probe.wait_for(lambda: len(with_stamp(left.masks, stamp)) == 2, "the answer again")
    assert left.answer(stamp) == first


def test_masks_from_topics(stage: Stage) -> None:
    cameras = open_cameras(stage, names=NAMES[:2], mask_source="topic")
    masks = {name: c.frame[..., 0] > 100 + 50 * i for i, (name, c) in enumerate(cameras.items())}
    rounds = count()
    stamp = new_stamp()  # the same for both: cameras may be synchronised

    def all_answered() -> bool:
        if next(rounds) % 20 == 0:
            for name, camera in cameras.items():
                camera.send(stamp)
                camera.to_mask.publish(from_mask(masks[name], image(camera.frame, stamp).header))
        return all(camera.images and camera.masks for camera in cameras.values())

    stage.probe.wait_for(all_answered, "both cameras are answered")
    for name, camera in cameras.items():
        image_out, mask_out = camera.answer(stamp)
        np.testing.assert_array_equal(pixels(mask_out), masks[name] * 255)
        np.testing.assert_array_equal(pixels(image_out), camera.frame * masks[name][..., None])


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / (first | second).sum())


def test_method_with_a_reference_for_each(stage: Stage) -> None:
    """Four publishers are far too fast for the method on a CPU: it drops, and forgets nobody."""
    for name in (MaskerConfig().segmenter, MaskerConfig().features):
        try:
            resolve(name)
        except WeightsError as error:
            pytest.skip(f"weights of {name} cannot be had: {error}")
    given = {"references": list(TASKS.values()), "max_batch": 4, "max_wait_ms": 1000}
    cameras = open_cameras(stage, **given, **TINY)
    wanted = {}
    for name, task in TASKS.items():
        view = Reference.load(find_reference(task)).views[0]
        cameras[name].frame = view.image
        wanted[name] = np.any([target.mask for target in view.targets], axis=0)
    for camera in cameras.values():
        camera.start()
    for camera in cameras.values():
        camera.wait_for(2)
    stage.probe.wait_for(lambda: all(c.count("dropped") > 0 for c in cameras.values()), "backlog")
    for camera in cameras.values():
        camera.stop()
    settled(stage, cameras)
    check_batches(stage, cameras)
    for name, camera in cameras.items():
        check_answers(camera)
        mask = pixels(camera.masks[-1]) > 0
        assert overlap(mask, wanted[name]) > 0.6, name
        np.testing.assert_array_equal(pixels(camera.images[-1]), camera.frame * mask[..., None])
    for camera in cameras.values():
        camera.start()
    answered = len(cameras["left"].images)
    cameras["left"].wait_for(answered + 1)  # in the midst of work
    assert stage.end("masker", signal.SIGINT) == 0
    assert "Traceback" not in stage.log("masker")


def test_lost_targets_are_held_for_each_camera(stage: Stage) -> None:
    left, right = open_cameras(stage, "odd_maskers", NAMES[:2], "scripted", **ODD).values()
    left.connect()
    right.connect()
    found = pixels(left.masks[-1])
    assert found.any()
    black = np.zeros_like(left.frame)
    other = pixels(right.masks[-1])
    assert (found != other).any()
    for camera, held in ((left, found), (right, other)):
        np.testing.assert_array_equal(pixels(camera.answer(camera.send(frame=black))[1]), held)
    said = stage.probe.statuses
    stage.probe.wait_for(
        lambda: "masker" in said and said["masker"].message == "left: lost: red; right: lost: red",
        "the node says who has lost what",
    )
    assert said["masker/left"].message == "lost: red"


def test_what_breaks_the_source_ends_the_node_with_a_line(stage: Stage) -> None:
    left, right = open_cameras(stage, "odd_maskers", NAMES[:2], "scripted", **ODD).values()
    left.connect()
    right.connect()
    left.send(frame=np.full_like(left.frame, 255))
    assert stage.ended("masker") == 1
    assert stage.log("masker").splitlines()[-1] == (
        "odd_maskers.py: masking failed: RuntimeError: this frame is white"
    )


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


@pytest.fixture
def gated(tmp_path: Path, gate: Path) -> Iterator[Stage]:
    """A stage whose maskers hold their first frame until the gate is there."""
    with open_stage(tmp_path, SAMG_TEST_GATE=str(gate)) as stage:
        yield stage


def held(stage: Stage) -> Camera:
    """A camera, one frame of which is being masked."""
    (camera,) = open_cameras(stage, "odd_maskers", ("left",), "gated", **ODD).values()
    rounds = count()
    stamp = new_stamp()

    def masking() -> bool:
        if next(rounds) % 20 == 0:
            camera.send(stamp)
        return "masking 1" in stage.log("masker")

    stage.probe.wait_for(masking, "a frame is being masked")
    return camera


def test_frames_are_received_while_others_are_masked(gated: Stage, gate: Path) -> None:
    camera = held(gated)
    first, status = camera.sent[0], camera.status
    before = {kind: gated.probe.fresh_count(status, kind) for kind in ("received", "repeated")}
    for number in range(1, 5):
        last = camera.send()
        gated.probe.wait_for_count(status, "received", before["received"] + number)
    camera.send(last)
    gated.probe.wait_for_count(status, "repeated", before["repeated"] + 1)
    assert camera.count("dropped") == 3 and not camera.images
    gate.touch()
    camera.answer(last)
    settled(gated, {"left": camera})
    assert stamps(camera.images) == [first, last] and camera.count("frames") == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_lets_the_batch_under_way_end(
    gated: Stage, gate: Path, number: signal.Signals
) -> None:
    camera = held(gated)
    camera.send()
    gated.send("masker", number)
    gate.touch()
    assert gated.ended("masker") == 0
    assert "Traceback" not in gated.log("masker")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_while_frames_come(stage: Stage, number: signal.Signals) -> None:
    cameras = open_cameras(stage, mask_source="none")
    for camera in cameras.values():
        camera.start()
    for camera in cameras.values():
        camera.wait_for(5)
    assert stage.end("masker", number) == 0
    assert "Traceback" not in stage.log("masker")


# Parameters, and the one line with which the process ends.
BAD = {
    "unequal": ({"cameras": ["a", "b"], "references": ["x"] * 3}, "2 cameras and 3 references"),
    "twice": ({"cameras": ["a", "a"], "reference": "x"}, "'a' is there twice"),
    "name": ({"cameras": ["a b"], "reference": "x"}, "'a b' cannot be part of a topic"),
    "without": ({"cameras": ["a", "b"]}, "the cameras have no reference"),
    "type": ({"cameras": "left"}, "cameras"),
}


def test_cameras_that_cannot_be(stage: Stage) -> None:
    for name, (parameters, _) in BAD.items():
        stage.start(name, MASKER, parameters, may_end=True)
    for name, (_, reason) in BAD.items():
        assert stage.ended(name) == 1, name
        (line,) = stage.log(name).splitlines()
        assert reason in line
