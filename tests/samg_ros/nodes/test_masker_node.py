"""The masker as a process: what comes out for what goes in."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import numpy as np
import pytest
from harness import MASKER, Stage, open_stage
from messages import image, picture, pixels, with_stamp
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from samg_ros.errors import WeightsError
from samg_ros.masking.config import MaskerConfig
from samg_ros.masking.reference import Reference, find_reference
from samg_ros.ros import qos
from samg_ros.ros.images import from_mask
from samg_ros.ros.qos import from_ns
from samg_ros.weights.resolve import resolve

TASK = "adroit_door"
# The method as it is, but quick to set up where others keep the processor busy.
SMALL = {"input_size": 256, "feature_size": 224, "scale_steps": 20, "threads": 1}
KINDS = ("none", "black", "topic")
new_stamp = count(1_000_000_007, 20_000_000).__next__


class Masker:
    """One masker on a stage, with the probe's ends of its topics."""

    def __init__(self, stage: Stage, kind: str, **parameters: str | int) -> None:
        name = self.name = f"masker_{kind}"
        self.stage, self.probe = stage, stage.probe
        inputs = {"image": f"/{kind}/image", "mask_in": f"/{kind}/mask_in", "__node": name}
        stage.start(name, MASKER, {"mask_source": kind, **parameters}, inputs)
        self.to_image = self.probe.create_publisher(Image, inputs["image"], qos.IMAGE_OUT)
        self.to_mask = self.probe.create_publisher(Image, inputs["mask_in"], qos.IMAGE_OUT)
        self.images = self.probe.listen(Image, f"/{name}/image")
        self.masks = self.probe.listen(Image, f"/{name}/mask")

    def send(self, msg: Image, mask: np.ndarray | None = None) -> None:
        self.to_image.publish(msg)
        if mask is not None:
            self.to_mask.publish(from_mask(mask, msg.header))

    def answer(self, stamp_ns: int, number: int = 1) -> tuple[Image, Image]:
        """Wait for the masked image and the mask of a stamp, sent ``number`` times."""

        def both() -> list[list[Image]]:
            found = [with_stamp(inbox, stamp_ns) for inbox in (self.images, self.masks)]
            return found if min(map(len, found)) >= number else []

        images, masks = self.probe.wait_for(both, f"{self.name} answers {stamp_ns}")
        return images[-1], masks[-1]

    def connect(self) -> None:
        """Send frames until one is answered: from then on nothing gets lost."""
        stamp, rounds = new_stamp(), count()

        def answered() -> bool:
            if next(rounds) % 20 == 0:
                self.send(image(picture(), stamp), np.ones((48, 64), bool))
            return bool(with_stamp(self.images, stamp) and with_stamp(self.masks, stamp))

        self.probe.wait_for(answered, f"{self.name} answers at all")


@pytest.fixture(scope="module")
def maskers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Masker]]:
    with open_stage(tmp_path_factory.mktemp("maskers")) as stage:
        started = {kind: Masker(stage, kind) for kind in KINDS}
        for masker in started.values():
            masker.connect()
        yield started


def expected_mask(kind: str, rgb: np.ndarray) -> np.ndarray:
    if kind == "topic":
        return rgb[..., 0] > 100
    return np.full(rgb.shape[:2], kind == "none")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(48, 64), (480, 640)])
def test_frame_gives_masked_frame(maskers: dict[str, Masker], kind: str, size: tuple) -> None:
    masker, rgb, stamp = maskers[kind], picture(*size), new_stamp()
    mask = expected_mask(kind, rgb)
    masker.send(image(rgb, stamp, "left_camera"), mask if kind == "topic" else None)
    image_out, mask_out = masker.answer(stamp)
    for msg, encoding in ((image_out, "rgb8"), (mask_out, "mono8")):
        assert msg.header.frame_id == "left_camera"
        assert (msg.height, msg.width, msg.encoding) == (*size, encoding)
    np.testing.assert_array_equal(pixels(mask_out), mask * 255)
    np.testing.assert_array_equal(pixels(image_out), rgb * mask[..., None])


def test_frame_and_mask_meet_in_either_order(maskers: dict[str, Masker]) -> None:
    masker, rgb, stamp = maskers["topic"], picture(), new_stamp()
    mask = expected_mask("topic", rgb)
    masker.to_mask.publish(from_mask(mask, Header(stamp=from_ns(stamp))))
    masker.to_image.publish(image(rgb, stamp))
    np.testing.assert_array_equal(pixels(masker.answer(stamp)[1]), mask * 255)


def test_mask_of_another_size_is_refused(maskers: dict[str, Masker]) -> None:
    masker, stamp = maskers["topic"], new_stamp()
    masker.send(image(picture(), stamp), np.ones((24, 32), bool))
    masker.probe.wait_for_count(masker.name, "refused_images", 1)
    assert "the mask is (24, 32), its frame (48, 64)" in masker.stage.log(masker.name)
    assert not with_stamp(masker.images, stamp)


def test_sent_again_frames_leave_nothing_waiting(maskers: dict[str, Masker]) -> None:
    masker, rgb = maskers["topic"], picture()
    for _ in range(10):
        stamp = new_stamp()
        for number in (1, 2):
            masker.send(image(rgb, stamp), expected_mask("topic", rgb))
            masker.answer(stamp, number)
    assert masker.probe.fresh_count(masker.name, "unpaired") == 0


def test_a_frame_that_is_sent_again_gets_the_same_answer(maskers: dict[str, Masker]) -> None:
    masker, stamp = maskers["none"], new_stamp()
    before = masker.probe.fresh_count(masker.name, "repeated")
    masker.send(image(picture(), stamp))
    first = masker.answer(stamp)
    masker.send(image(picture(), stamp))
    assert masker.answer(stamp, number=2) == first
    masker.probe.wait_for_count(masker.name, "repeated", before + 1)


@pytest.mark.parametrize("kind", ["none", "topic"])
def test_another_picture_of_the_same_stamp_gets_its_own_answer(
    maskers: dict[str, Masker], kind: str
) -> None:
    """As from a simulation that is started again, whose stamps begin anew."""
    masker, stamp = maskers[kind], new_stamp()
    for number in (1, 2):
        rgb = picture(seed=number)
        mask = expected_mask(kind, rgb)
        masker.send(image(rgb, stamp), mask if kind == "topic" else None)
        image_out, mask_out = masker.answer(stamp, number)
        np.testing.assert_array_equal(pixels(image_out), rgb * mask[..., None])
        np.testing.assert_array_equal(pixels(mask_out), mask * 255)


def test_camera_without_stamps_is_not_frozen(maskers: dict[str, Masker]) -> None:
    masker = maskers["none"]
    for number in (1, 2):
        rgb = picture(seed=number)
        masker.send(image(rgb, 0))
        np.testing.assert_array_equal(pixels(masker.answer(0, number)[0]), rgb)


def wrong_length(msg: Image) -> None:
    msg.data = msg.data[:-10]


def unknown_encoding(msg: Image) -> None:
    msg.encoding = "rgb9"


def zero_size(msg: Image) -> None:
    msg.height = msg.width = msg.step = 0
    msg.data = []


def short_step(msg: Image) -> None:
    msg.step = 8


def test_malformed_images_are_counted_and_reported(maskers: dict[str, Masker]) -> None:
    masker = maskers["none"]
    before = masker.probe.fresh_count(masker.name, "refused_images")
    breakages = (wrong_length, unknown_encoding, zero_size, short_step)
    bad_stamps = []
    for number, breakage in enumerate(breakages, 1):
        stamp = new_stamp()
        msg = image(picture(), stamp)
        breakage(msg)
        masker.send(msg)
        masker.probe.wait_for_count(masker.name, "refused_images", before + number)
        bad_stamps.append(stamp)
    good = new_stamp()
    masker.send(image(picture(), good))
    masker.answer(good)
    assert not any(with_stamp(masker.images, stamp) for stamp in bad_stamps)
    assert masker.probe.count(masker.name, "refused_images") == before + len(breakages)
    # Of several within a second, the log shows the first.
    assert "frame refused: image data has 9206 bytes" in masker.stage.log(masker.name)


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8"])
@pytest.mark.parametrize("last_row_padded", [True, False])
def test_padded_rows(maskers: dict[str, Masker], encoding: str, last_row_padded: bool) -> None:
    masker, rgb, stamp = maskers["none"], picture(30, 41), new_stamp()
    msg = image(rgb, stamp)
    msg.encoding = encoding
    msg.step = 41 * 3 + 5
    rows = (rgb if encoding == "rgb8" else rgb[..., ::-1]).reshape(30, -1)
    data = np.pad(rows, ((0, 0), (0, 5)), constant_values=77).tobytes()
    msg.data = data if last_row_padded else data[:-5]
    masker.send(msg)
    np.testing.assert_array_equal(pixels(masker.answer(stamp)[0]), rgb)


def test_method_on_the_shipped_reference(stage: Stage) -> None:
    for name in (MaskerConfig().segmenter, MaskerConfig().features):
        try:
            resolve(name)
        except WeightsError as error:
            pytest.skip(f"weights of {name} cannot be had: {error}")
    view = Reference.load(find_reference(TASK)).views[0]
    wanted = np.any([target.mask for target in view.targets], axis=0)
    masker = Masker(stage, "samg", **SMALL, reference=TASK)
    masker.connect()
    stamp = new_stamp()
    masker.send(image(view.image, stamp, "fixed"))
    image_out, mask_out = masker.answer(stamp)
    assert image_out.header == mask_out.header
    assert image_out.header.frame_id == "fixed"
    mask = pixels(mask_out) > 0
    assert (mask & wanted).sum() / (mask | wanted).sum() > 0.8
    np.testing.assert_array_equal(pixels(image_out), view.image * mask[..., None])
