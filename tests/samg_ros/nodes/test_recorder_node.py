"""The recorder as a process: what is on the disk, however the recording ends."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from harness import RECORDER, Stage, open_stage
from mcap.reader import make_reader
from messages import image, on_disk, picture
from probe import RELIABLE
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from policies.pipeline.recording import Recording, pixels, stamp_ns
from samg_ros.errors import BagError

FRAMES = 12
ALL = {"/camera": FRAMES, "/joints": FRAMES, "/late": 1}
# The recorders, their parameters beside the bag, and how they end.
RECORDERS = {
    "interrupted": {},
    "terminated": {"topics": ["/camera", "/late", "/plan"], "compression": "none"},
    "killed": {},
    "robbed": {},
    "full": {"min_free_mb": 10**9},
}


class Recorders:
    """Several recorders of the same topics on one stage."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.probe = stage, stage.probe
        for name, parameters in RECORDERS.items():
            self.start(name, **parameters)
        to_camera = self.probe.create_publisher(Image, "/camera", RELIABLE)
        to_joints = self.probe.create_publisher(JointState, "/joints", RELIABLE)
        self.probe.create_publisher(JointTrajectory, "/plan", RELIABLE)
        self.wait_until_heard("/camera", {"interrupted", "terminated", "killed", "robbed"})
        self.wait_until_heard("/joints", {"interrupted", "killed", "robbed"})
        for number in range(FRAMES):
            to_camera.publish(image(picture(seed=number), stamp(number)))
            to_joints.publish(JointState(name=["elbow"], position=[float(number)]))
        to_late = self.probe.create_publisher(String, "/late", RELIABLE)
        self.wait_until_heard("/late", {"interrupted", "terminated", "killed", "robbed"})
        to_late.publish(String(data="better late"))

    def start(self, name: str, *, may_end: bool = False, **parameters) -> None:
        given = {"bag": self.bag(name), "flush_s": 0.1, **parameters}
        self.stage.start(name, RECORDER, given, {"__node": name}, may_end=may_end)

    def bag(self, name: str) -> Path:
        return self.stage.folder / "bags" / name

    def wait_until_heard(self, topic: str, names: set[str]) -> None:
        def missing() -> set[str]:
            infos = self.probe.get_subscriptions_info_by_topic(topic)
            return names - {info.node_name for info in infos}

        self.probe.wait_for(lambda: not missing(), f"{names} record {topic}")

    def wait_until_on_disk(self, name: str, counts: dict[str, int]) -> None:
        self.probe.wait_for(
            lambda: counts.items() <= on_disk(self.bag(name)).items(), f"{name} has {counts}"
        )


def stamp(number: int) -> int:
    return 1_000_000_000 + number


@pytest.fixture(scope="module")
def recorders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorders]:
    folder = tmp_path_factory.mktemp("recorders")
    # On the recorders' path, but not on the probe's: a package without its messages.
    hollow = folder / "path" / "trajectory_msgs"
    hollow.mkdir(parents=True)
    (hollow / "__init__.py").touch()
    with open_stage(folder, PYTHONPATH=str(hollow.parent)) as stage:
        yield Recorders(stage)


def assert_has_camera(bag: Path) -> None:
    with Recording(bag) as recording:
        frames = [message for _, _, message in recording.messages("/camera")]
    assert [stamp_ns(frame) for frame in frames] == [stamp(n) for n in range(FRAMES)]
    for number, frame in enumerate(frames):
        np.testing.assert_array_equal(pixels(frame), picture(seed=number))


def test_a_publisher_that_offers_less_than_the_first_is_recorded(recorders: Recorders) -> None:
    probe, topic = recorders.probe, "/changing"
    for qos in (RELIABLE, qos_profile_sensor_data):
        publisher = probe.create_publisher(String, topic, qos)
        before = on_disk(recorders.bag("interrupted"))[topic]
        said = count()

        def recorded(publisher=publisher, before=before, said=said) -> bool:
            publisher.publish(String(data=str(next(said))))
            return on_disk(recorders.bag("interrupted"))[topic] > before + 2

        probe.wait_for(recorded, f"messages of {qos.reliability.name}")
        probe.destroy_publisher(publisher)


def test_sigint_finishes_a_bag_of_every_topic(recorders: Recorders) -> None:
    name, bag = "interrupted", recorders.bag("interrupted")
    recorders.wait_until_on_disk(name, ALL)
    recorders.probe.wait_for(lambda: on_disk(bag)["/diagnostics"], "diagnostics")
    assert recorders.stage.end(name, signal.SIGINT) == 0
    assert (bag / "metadata.yaml").is_file()
    assert_has_camera(bag)
    with Recording(bag) as recording:
        counts = recording.counts()
        (late,) = [message.data for _, _, message in recording.messages("/late")]
    assert late == "better late"
    assert counts.items() >= ALL.items()
    assert not {"/rosout", "/parameter_events", "/plan"} & set(counts)
    (path,) = bag.glob("*.mcap")
    with path.open("rb") as file:
        summary = make_reader(file).get_summary()
    assert summary is not None and summary.statistics is not None
    assert summary.statistics.message_count == sum(counts.values())


def test_sigterm_finishes_a_bag_of_chosen_topics(recorders: Recorders) -> None:
    name, bag = "terminated", recorders.bag("terminated")
    recorders.wait_until_on_disk(name, {"/camera": FRAMES, "/late": 1})
    recorders.probe.wait_for_count(name, "refused_topics", 1)
    assert recorders.stage.end(name, signal.SIGTERM) == 0
    assert_has_camera(bag)
    with Recording(bag) as recording:
        assert recording.counts() == {"/camera": FRAMES, "/late": 1}
    refusal = "/plan is not recorded: message type trajectory_msgs/msg/JointTrajectory is not"
    assert recorders.stage.log(name).count(refusal) == 1


def test_sigkill_leaves_a_file_readable_up_to_the_last_chunk(recorders: Recorders) -> None:
    name, bag = "killed", recorders.bag("killed")
    recorders.wait_until_on_disk(name, ALL)
    assert recorders.stage.end(name, signal.SIGKILL) == -signal.SIGKILL
    assert on_disk(bag).items() >= ALL.items()
    with pytest.raises(BagError, match="cannot read the bag"):
        Recording(bag)


def test_full_disk_stops_the_recording_but_not_the_node(recorders: Recorders) -> None:
    def stopped() -> bool:
        status = recorders.probe.statuses.get("full")
        return status is not None and status.message.startswith("not recording: the disk has")

    recorders.probe.wait_for(stopped, "the recording stops")
    assert recorders.probe.statuses["full"].level == DiagnosticStatus.WARN
    log = recorders.stage.log("full")
    assert log.count("recording stopped: the disk has only") == 1
    assert "the bag up to here is kept" in log
    with Recording(recorders.bag("full")) as recording:
        assert isinstance(recording.counts(), dict)
    assert recorders.stage.end("full", signal.SIGINT) == 0


def test_removed_bag_stops_the_recording_but_not_the_node(recorders: Recorders) -> None:
    shutil.rmtree(recorders.bag("robbed"))
    recorders.stage.wait_for_log("robbed", "recording stopped:")
    recorders.probe.fresh_count("robbed", "frames")
    assert recorders.probe.statuses["robbed"].message.startswith("not recording:")
    assert recorders.stage.end("robbed", signal.SIGTERM) == 0
    assert "Traceback" not in recorders.stage.log("robbed")


def test_bag_that_cannot_be_made_ends_the_node(recorders: Recorders) -> None:
    kept = recorders.bag("existing") / "metadata.yaml"
    kept.parent.mkdir(parents=True)
    kept.write_text("precious")
    recorders.start("existing", may_end=True)
    recorders.start("blocked", bag=kept / "bag", may_end=True)
    for name, reason in (("existing", "exists already"), ("blocked", "File exists")):
        assert recorders.stage.ended(name) == 1
        (line,) = recorders.stage.log(name).splitlines()
        assert line.startswith("recorder_node.py: cannot write a bag at") and reason in line
    assert [path.name for path in kept.parent.iterdir()] == ["metadata.yaml"]
    assert kept.read_text() == "precious"


def test_a_name_that_cannot_be_a_topic_ends_the_node(recorders: Recorders) -> None:
    recorders.start("misspelt", topics=["/camera image"], may_end=True)
    assert recorders.stage.ended("misspelt") == 1
    (line,) = recorders.stage.log("misspelt").splitlines()
    assert line.startswith("recorder_node.py: topics: '/camera image' cannot be one")
    assert not recorders.bag("misspelt").exists()
