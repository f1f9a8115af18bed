"""The policy as a process: which frames it answers, which it refuses, when it holds and stops."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from diagnostic_msgs.msg import DiagnosticStatus
from harness import POLICY, open_stage
from messages import image, picture, stamps, with_stamp
from robot_probe import TASK, Robot
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from policies.base import policy_spec
from policies.networks import StudentNet, StudentNetConfig
from policies.preprocessing import StudentPreprocessing
from policies.student.policy import StudentPolicy
from samg_ros.io.checkpoint import TrainingRecord
from samg_ros.ros.qos import NS_PER_S, from_ns, to_ns
from sim_bridge.experts.state import Normalizer
from sim_bridge.task import TaskSpec, make_task

HOLDING = "holding: no usable frame"


@pytest.fixture(scope="module")
def spec() -> TaskSpec:
    task = make_task(TASK)
    task.close()
    return task.spec


@pytest.fixture(scope="module")
def robot(tmp_path_factory: pytest.TempPathFactory, spec: TaskSpec) -> Iterator[Robot]:
    with open_stage(tmp_path_factory.mktemp("policy")) as stage:
        robot = Robot(stage, spec)
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


def test_a_frame_that_is_sent_again_gets_the_same_command(robot: Robot) -> None:
    """The random policy would give another."""
    first = robot.commanded(robot.later())
    stamp, seen = to_ns(first.header.stamp), len(robot.commands)
    robot.send(stamp)
    robot.probe.wait_for(lambda: len(robot.commands) > seen, "the command again")
    assert robot.commands[-1] == first
    robot.send(stamp, rgb=picture(seed=1))
    robot.probe.wait_for(lambda: robot.commands[-1] != first, "a command for another picture")
    assert to_ns(robot.commands[-1].header.stamp) == stamp


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
    assert "no joint_states near its stamp, of ARTz" in robot.stage.log("policy")
    robot.commanded(robot.later())
    assert not with_stamp(robot.commands, stamp)


def test_joint_states_that_are_of_no_use_are_counted(robot: Robot) -> None:
    before, others = (robot.refused(k) for k in ("refused_joint_states", "other_joint_states"))
    robot.to_joints.publish(JointState(name=[robot.spec.proprioception[0]], position=[0.0]))
    robot.probe.wait_for_count("policy", "refused_joint_states", before + 1)
    assert "joint_states have stamps of zero" in robot.stage.log("policy")
    elbow = JointState(name=["elbow"], position=[0.0])
    elbow.header.stamp.sec = 1
    robot.to_joints.publish(elbow)
    robot.probe.wait_for_count("policy", "other_joint_states", others + 1)
    robot.commanded(robot.later())


def test_joint_states_come_in_parts(robot: Robot) -> None:
    stamp, names = robot.later(), robot.spec.proprioception
    rounds = count()

    def answered() -> list[JointState]:
        if next(rounds) % 20 == 0:
            for part in (names[:4], names[4:]):
                msg = JointState(name=list(part), position=[0.0] * len(part))
                msg.header.stamp = from_ns(stamp)
                robot.to_joints.publish(msg)
            robot.to_image.publish(image(picture(), stamp))
        return with_stamp(robot.commands, stamp)

    robot.probe.wait_for(answered, "a command")


def test_frames_from_the_future_and_the_past_are_refused(robot: Robot) -> None:
    robot.move_clock(robot.later())
    robot.commanded(stamp := robot.later())
    early, backward = (robot.refused(kind) for kind in ("early_frames", "backward_frames"))
    for odd, kind, before in (
        (stamp + 3 * NS_PER_S, "early_frames", early),
        (stamp - NS_PER_S // 50, "backward_frames", backward),
    ):
        robot.send_joints(odd)
        robot.to_image.publish(image(picture(), odd))
        robot.probe.wait_for_count("policy", kind, before + 1)
        assert not with_stamp(robot.commands, odd)
    assert "ahead of the node's clock" in robot.stage.log("policy")
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
        return status is not None and status.message.startswith(HOLDING)

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


def test_a_picture_that_the_policy_cannot_take_is_refused(tmp_path: Path, spec: TaskSpec) -> None:
    with open_stage(tmp_path) as stage:
        robot = Robot(stage, spec, policy="adroit_door", max_lost_frames=3)
        robot.probe.wait_for(lambda: "policy" in robot.probe.statuses, "the policy runs")
        robot.send_joints(robot.later())
        rounds = count()

        def refused() -> bool:
            if next(rounds) % 20 == 0:
                robot.send(robot.later(), rgb=picture(48, 64))
            return robot.probe.count("policy", "refused_images") > 0

        robot.probe.wait_for(refused, "a small picture is refused")
        assert "must be square and at least 84 pixels wide, got 64x48" in stage.log("policy")
        # The first frame tells what looks as if it were wired wrongly.
        assert "the frames do not look masked" in stage.log("policy")
        assert "come from 'camera', and the policy learned from 'fixed'" in stage.log("policy")
        robot.told("holding: every target is lost", np.zeros((96, 96, 3), np.uint8))
        before = len(robot.commands)
        robot.probe.wait_for(lambda: len(robot.commands) > before + 1, "it holds")
        assert robot.commands[-1].position == robot.commands[-2].position

        def acts_again() -> bool:
            robot.send(robot.later(), rgb=picture(96, 96))
            status = robot.probe.statuses["policy"]
            return not status.message

        robot.probe.wait_for(acts_again, "the policy acts again")


def test_frames_that_are_not_square_are_cropped_where_asked(
    tmp_path: Path, spec: TaskSpec
) -> None:
    with open_stage(tmp_path) as stage:
        robot = Robot(stage, spec, policy="adroit_door", crop="center")
        wide = np.zeros((96, 128, 3), np.uint8)
        wide[:, 16:112] = picture(96, 96)

        def answer(rgb: np.ndarray) -> list[float]:
            stamp, rounds = robot.later(5.0), count()  # a gap that begins a new frame stack

            def answered() -> list[JointState]:
                if next(rounds) % 20 == 0:
                    robot.send(stamp, rgb=rgb)
                return with_stamp(robot.commands, stamp)

            return list(robot.probe.wait_for(answered, "a command")[0].position)

        cut, square = answer(wide), answer(wide[:, 16:112].copy())
        assert cut == square
        assert answer(np.zeros((96, 96, 3), np.uint8)) != square


def test_a_policy_that_does_not_fit_does_not_start(tmp_path: Path) -> None:
    wired = {"camera": "side", "mask": "none", "joints": ["ARTz"], "command_mode": "effort"}
    with open_stage(tmp_path) as stage:
        stage.start("policy", POLICY, {"policy": "student", **wired}, may_end=True)
        assert stage.ended("policy") == 1
        log = stage.log("policy")
    for reason in (
        "the camera is 'side', it was trained on 'fixed'",
        "the pictures' mask is 'none', it was trained on 'targets'",
        "joint_states has no ARRx, ARRy",
        "the robot takes effort, it commands position",
    ):
        assert reason in log


def test_trajectories_change_no_faster_than_they_may(tmp_path: Path, spec: TaskSpec) -> None:
    limits = {"max_rate": 0.5, "trajectory_time_s": 0.25}
    with open_stage(tmp_path) as stage:
        robot = Robot(stage, spec, JointTrajectory, output="joint_trajectory", **limits)
        robot.probe.wait_for(lambda: "policy" in robot.probe.statuses, "the policy runs")
        rounds = count()

        def enough() -> bool:
            if next(rounds) % 5 == 0:
                robot.send(robot.later(0.02))
            return len(robot.commands) >= 10 and robot.probe.count("policy", "frames") >= 10

        robot.probe.wait_for(enough, "trajectories")
        assert robot.probe.fresh_count("policy", "limited_commands") > 0
    for msg in robot.commands:
        assert tuple(msg.joint_names) == spec.actuated_joints and len(msg.points) == 1
        assert msg.points[0].time_from_start.nanosec == NS_PER_S // 4
        assert to_ns(msg.header.stamp) == 0
    positions = np.array([msg.points[0].positions for msg in robot.commands])
    # Frames may be lost on the way, and a gap of several allows as much more.
    assert np.abs(np.diff(positions, axis=0)).max() <= 0.5 * 0.5 + 1e-9
    assert np.abs(positions[0]).max() <= 0.5 * 0.5 + 1e-9


def test_stops_for_good_at_an_action_that_is_no_number(tmp_path: Path, spec: TaskSpec) -> None:
    checkpoint = breaking_student(tmp_path, spec)
    frame = picture(96, 96)
    with open_stage(tmp_path) as stage:
        kind = {"policy": str(checkpoint), "output": "float64_multi_array"}
        robot = Robot(stage, spec, Float64MultiArray, **kind)
        robot.probe.wait_for(lambda: "policy" in robot.probe.statuses, "the policy runs")
        rounds = count()

        def commanded() -> list[Float64MultiArray]:
            if next(rounds) % 20 == 0:
                robot.send(robot.later(), rgb=frame)
            return robot.commands

        robot.probe.wait_for(commanded, "a command")
        robot.told("stopped: the policy's action for joint", frame, position=1000.0)
        assert "is not a finite number" in stage.log("policy")
        stopped = len(robot.commands)
        robot.told("stopped: the policy's action for joint", frame)  # good frames change nothing
        robot.probe.wait_for(lambda: len(robot.commands) > stopped + 2, "it goes on holding")
        held = [list(msg.data) for msg in robot.commands[stopped:]]
        assert np.isfinite(held).all() and all(values == held[0] for values in held)


def breaking_student(folder: Path, task: TaskSpec) -> Path:
    """A student whose action is NaN where joints are far from zero, since its weights overflow."""
    torch.manual_seed(0)
    joints, actions = len(task.proprioception), task.action_size
    sizes = StudentNetConfig(84, 1, joints, actions, features=8, hidden=16)
    network = StudentNet(sizes)
    with torch.no_grad():
        network.head[0].weight[:, sizes.features :].mul_(1e38)
    preprocessing = StudentPreprocessing(84, 1, Normalizer((0.0,) * joints, (1.0,) * joints))
    spec = policy_spec(task, image_size=96, frame_stack=1)
    path = folder / "breaking.safetensors"
    StudentPolicy(spec, preprocessing, network).save(path, TrainingRecord("", 0, 0.0, {}, ""))
    return path
