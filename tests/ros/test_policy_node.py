"""The policy as a process: which frames it answers, which it refuses, and when it holds."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from harness import POLICY, Stage, image, open_stage, picture, stamps, with_stamp
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState

from samg_ros.ros import qos
from samg_ros.ros.stamps import NS_PER_S, from_ns, to_ns
from sim_bridge.task import TaskSpec, make_task

TASK = "adroit_door"
HOLDING = "holding: no usable frame"


class Robot:
    """The probe as a robot with a camera, on a clock of its own, and a policy that drives it."""

    def __init__(self, stage: Stage, spec: TaskSpec) -> None:
        parameters = {"task": TASK, "policy": "random", "use_sim_time": True}
        stage.start("policy", POLICY, {**parameters, "frame_timeout_s": 1.0})
        self.stage, self.probe, self.spec = stage, stage.probe, spec
        self.now_ns = 10 * NS_PER_S + 7
        self.to_clock = self.probe.create_publisher(Clock, "/clock", qos.COMMAND)
        self.to_image = self.probe.create_publisher(Image, "image", qos.IMAGE_OUT)
        self.to_joints = self.probe.create_publisher(JointState, "joint_states", qos.STATUS)
        self.commands = self.probe.listen(JointState, "joint_command")

    def later(self, seconds: float = 0.02) -> int:
        """Let time pass. :return: the new stamp."""
        self.now_ns += round(seconds * NS_PER_S)
        return self.now_ns

    def send(self, stamp_ns: int, *, joints_ns: int | None = None) -> None:
        """Joint states (of another stamp where given), then a frame."""
        self.send_joints(stamp_ns if joints_ns is None else joints_ns)
        self.to_image.publish(image(picture(), stamp_ns))

    def send_joints(self, stamp_ns: int) -> None:
        names = list(self.spec.joint_names)
        msg = JointState(name=names, position=[0.0] * len(names))
        msg.header.stamp = from_ns(stamp_ns)
        self.to_joints.publish(msg)

    def commanded(self, stamp_ns: int) -> JointState:
        """Send until the command of a stamp is there: joints and frame come on two roads."""
        rounds = count()

        def answered() -> list[JointState]:
            if next(rounds) % 20 == 0:
                self.send(stamp_ns)
            return with_stamp(self.commands, stamp_ns)

        return self.probe.wait_for(answered, f"a command for {stamp_ns}")[0]

    def refused(self, kind: str) -> int:
        return self.probe.fresh_count("policy", kind)

    def move_clock(self, stamp_ns: int) -> None:
        """Set the simulated time and wait until the policy has it."""

        def moved() -> bool:
            self.to_clock.publish(Clock(clock=from_ns(stamp_ns)))
            return self.probe.times.get("policy", 0) >= stamp_ns

        self.probe.wait_for(moved, "the policy's clock moves")


@pytest.fixture(scope="module")
def robot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Robot]:
    with open_stage(tmp_path_factory.mktemp("policy")) as stage:
        task = make_task(TASK)
        robot = Robot(stage, task.spec)
        task.close()
        robot.commanded(robot.later())
        yield robot


def test_command_carries_the_stamp_of_its_frame(robot: Robot) -> None:
    for _ in range(5):
        stamp = robot.later()
        command = robot.commanded(stamp)
        assert tuple(command.name) == robot.spec.actuated_joints
        values = np.array(command.position)
        assert (values >= robot.spec.command_low).all()
        assert (values <= robot.spec.command_high).all()
        assert not command.velocity and not command.effort


def test_joint_states_near_the_stamp_will_do(robot: Robot) -> None:
    stamp = robot.later(1.0)
    robot.send_joints(stamp - NS_PER_S // 20)
    rounds = count()

    def answered() -> list[JointState]:
        if next(rounds) % 20 == 0:
            robot.to_image.publish(image(picture(), stamp))
        return with_stamp(robot.commands, stamp)

    robot.probe.wait_for(answered, "a command")


def test_frames_without_joint_states_are_refused(robot: Robot) -> None:
    before = robot.refused("frames_without_joints")
    stamp = robot.later(5.0)
    robot.send(stamp, joints_ns=stamp - NS_PER_S)
    robot.probe.wait_for_count("policy", "frames_without_joints", before + 1)
    assert "no joint_states near its stamp" in robot.stage.log("policy")
    robot.commanded(robot.later())
    assert not with_stamp(robot.commands, stamp)


def test_joint_states_without_a_joint_are_refused(robot: Robot) -> None:
    before = robot.refused("refused_joint_states")
    robot.to_joints.publish(JointState(name=["elbow"], position=[0.0]))
    robot.probe.wait_for_count("policy", "refused_joint_states", before + 1)
    assert f"lacks the position of {robot.spec.proprioception[0]}" in robot.stage.log("policy")
    robot.commanded(robot.later())


def test_malformed_frame_is_refused(robot: Robot) -> None:
    before = robot.refused("refused_images")
    stamp = robot.later()
    msg = image(picture(), stamp)
    msg.encoding = "rgb9"
    robot.send_joints(stamp)
    robot.commanded(stamp - 1)  # by then the joints are there
    robot.to_image.publish(msg)
    robot.probe.wait_for_count("policy", "refused_images", before + 1)
    assert "encoding 'rgb9' is not known" in robot.stage.log("policy")
    robot.commanded(robot.later())
    assert not with_stamp(robot.commands, stamp)


def test_stale_frames_are_refused(robot: Robot) -> None:
    stamp = robot.later()
    robot.move_clock(robot.later(10.0))
    before = robot.refused("stale_frames")
    unmatched = robot.probe.count("policy", "frames_without_joints")
    robot.send(stamp, joints_ns=stamp - NS_PER_S)
    robot.probe.wait_for_count("policy", "stale_frames", before + 1)
    # One reason is enough: it is not counted as one without joint states as well.
    assert robot.probe.count("policy", "frames_without_joints") == unmatched
    assert "frame refused: it is 10.00 s old" in robot.stage.log("policy")
    robot.commanded(robot.later())
    assert not with_stamp(robot.commands, stamp)


def test_holds_when_frames_stop_and_resumes(robot: Robot) -> None:
    def holding() -> bool:
        status = robot.probe.statuses.get("policy")
        return status is not None and status.message == HOLDING

    last = robot.commanded(robot.later())
    robot.probe.wait_for(holding, "the policy holds")
    assert robot.probe.statuses["policy"].level == DiagnosticStatus.WARN
    held = robot.probe.wait_for(
        lambda: len(found := with_stamp(robot.commands, to_ns(last.header.stamp))) > 2 and found,
        "the last command again",
    )
    assert all(command == last for command in held)
    assert stamps(robot.commands)[-1] == to_ns(last.header.stamp)

    def resumed() -> bool:
        robot.send(robot.later(0.01))
        return not holding()

    robot.probe.wait_for(resumed, "the policy resumes")
    robot.commanded(robot.later())
