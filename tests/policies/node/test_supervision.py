"""The policy's operator over DDS: enable, e-stop, heartbeat, status, and others who publish."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from harness import POLICY, open_stage
from messages import stamps, with_stamp
from robot_probe import TASK, Robot
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Empty, Float64MultiArray, String
from std_srvs.srv import SetBool

from samg_ros.ros import qos
from sim_bridge.task import TaskSpec, make_task


@pytest.fixture(scope="module")
def spec() -> TaskSpec:
    task = make_task(TASK)
    task.close()
    return task.spec


@pytest.fixture(scope="module")
def robot(tmp_path_factory: pytest.TempPathFactory, spec: TaskSpec) -> Iterator[Robot]:
    with open_stage(tmp_path_factory.mktemp("supervised")) as stage:
        yield Robot(
            stage, spec, start_enabled=False, heartbeat_timeout_s=0.0, frame_timeout_s=600.0
        )


def call(robot: Robot, name: str, value: bool) -> SetBool.Response:
    return robot.probe.call(SetBool, f"/policy/{name}", SetBool.Request(data=value))


def status_says(robot: Robot, text: str) -> DiagnosticStatus:
    """Wait until the node's diagnostics say so."""

    def says() -> DiagnosticStatus | None:
        status = robot.probe.statuses.get("policy")
        return status if status is not None and text in status.message else None

    return robot.probe.wait_for(says, text)


def send_in_vain(robot: Robot) -> None:
    """Frames and joints that are heard, and get no answer."""
    frames, before = robot.probe.count("policy", "frames"), len(robot.commands)

    def heard() -> bool:
        robot.send(robot.later(0.01))
        return robot.probe.count("policy", "frames") > frames + 3

    robot.probe.wait_for(heard, "frames are heard")
    values = [list(command.position) for command in robot.commands[max(0, before - 1) :]]
    assert all(value == values[0] for value in values)  # a hold at most


def test_a_policy_that_is_not_enabled_sends_nothing(robot: Robot) -> None:
    status_says(robot, "not enabled yet: call ~/enable")
    send_in_vain(robot)
    assert not robot.commands


def test_enable_and_disable(robot: Robot) -> None:
    told = robot.probe.listen(DiagnosticStatus, "/policy/status")
    assert call(robot, "enable", True).success
    robot.commanded(robot.later())
    assert not call(robot, "disable", False).success
    assert call(robot, "disable", True).success
    send_in_vain(robot)
    assert call(robot, "enable", True).success
    robot.commanded(robot.later())
    robot.probe.wait_for(lambda: any(m.level == DiagnosticStatus.OK for m in told), "moving")
    assert any("disabled: call ~/enable" in m.message for m in told)


@pytest.mark.parametrize("profile", [qos.STATUS, qos.EVENT_IN], ids=["reliable", "best effort"])
def test_the_e_stop_holds_at_once_and_is_latched(robot: Robot, profile: object) -> None:
    call(robot, "enable", True)
    last = robot.commanded(robot.later())
    button = robot.probe.create_publisher(Bool, "e_stop", profile)
    robot.probe.wait_for(lambda: button.get_subscription_count() >= 1, "the button is wired")

    def pressed() -> bool:
        button.publish(Bool(data=True))
        status = robot.probe.statuses.get("policy")
        return status is not None and status.message.startswith("e-stop: pressed")

    robot.probe.wait_for(pressed, "the e-stop is pressed")
    assert robot.probe.statuses["policy"].level == DiagnosticStatus.ERROR
    before = len(robot.commands)
    robot.probe.wait_for(lambda: len(robot.commands) > before, "the hold goes on")
    assert robot.commands[-1].position == last.position
    button.publish(Bool(data=False))  # lifts nothing
    assert not call(robot, "enable", True).success
    send_in_vain(robot)
    assert call(robot, "e_stop", False).success
    send_in_vain(robot)
    assert call(robot, "enable", True).success
    robot.commanded(robot.later())
    robot.probe.destroy_publisher(button)


def test_another_who_commands_is_an_error(robot: Robot) -> None:
    call(robot, "enable", True)
    robot.commanded(robot.later())
    other = robot.probe.create_publisher(JointState, "joint_command", qos.COMMAND)
    status = status_says(robot, "1 other node publishes on /joint_command too (/probe)")
    assert status.level == DiagnosticStatus.ERROR
    send_in_vain(robot)
    robot.probe.destroy_publisher(other)
    robot.commanded(robot.later())


def test_a_joint_that_is_measured_where_it_cannot_be_holds(robot: Robot) -> None:
    call(robot, "enable", True)
    robot.commanded(robot.later())
    robot.told("joint ARTz is measured at 1e+10", np.zeros((96, 96, 3), np.uint8), position=1e10)
    low, high = robot.spec.command_low, robot.spec.command_high
    for command in robot.commands:
        assert (np.array(command.position) >= low).all() and (
            np.array(command.position) <= high
        ).all()
    robot.commanded(robot.later())


def test_speed_is_scaled_while_the_robot_moves(robot: Robot) -> None:
    call(robot, "enable", True)
    assert robot.probe.set_parameter("policy", "speed_scale", 0.0)
    robot.commanded(robot.later())
    still = robot.commanded(robot.later()).position
    assert robot.commanded(robot.later()).position == still
    assert not robot.probe.set_parameter("policy", "speed_scale", 1.5)
    assert robot.probe.set_parameter("policy", "speed_scale", 1.0)
    assert robot.commanded(robot.later()).position != still


def test_a_heartbeat_that_stops_holds(tmp_path: Path, spec: TaskSpec) -> None:
    with open_stage(tmp_path) as stage:
        robot = Robot(stage, spec, heartbeat_timeout_s=2.0, hold_period_s=0.1)
        heart = robot.probe.create_publisher(Empty, "heartbeat", qos.COMMAND)

        def beat() -> bool:
            heart.publish(Empty())
            robot.send(robot.later())
            return bool(robot.commands)

        def acts() -> bool:
            """It also said so: what it said before the first heartbeat must not be taken for
            what it says after the last."""
            status = robot.probe.statuses.get("policy")
            return beat() and status is not None and "heartbeat" not in status.message

        robot.probe.wait_for(acts, "a command")
        status_says(robot, "holding: no heartbeat for 2 s")
        send_in_vain(robot)
        held = list(robot.commands[-1].position)
        robot.probe.wait_for(
            lambda: beat() and list(robot.commands[-1].position) != held, "it acts again"
        )


def test_values_come_in_the_controllers_order(tmp_path: Path, spec: TaskSpec) -> None:
    backwards = list(reversed(spec.actuated_joints))
    with open_stage(tmp_path) as stage:
        arrays = {"output": "float64_multi_array", "command_joints": backwards}
        robot = Robot(stage, spec, Float64MultiArray, range_share=1e-6, **arrays)
        robot.probe.wait_for(lambda: "policy" in robot.probe.statuses, "the policy runs")

        def commanded() -> list[Float64MultiArray]:
            robot.send(robot.later())
            return robot.commands

        msg = robot.probe.wait_for(commanded, "a command")[0]
    middle = (np.array(spec.command_low) + np.array(spec.command_high)) / 2
    assert np.array(msg.data) == pytest.approx(middle[::-1], abs=1e-4)
    assert msg.layout.dim[0].label.split() == backwards


def test_a_trajectory_of_efforts_is_refused(tmp_path: Path) -> None:
    with open_stage(tmp_path) as stage:
        wrong = {"task": "cartpole_swingup", "policy": "random", "output": "joint_trajectory"}
        stage.start("policy", POLICY, wrong, may_end=True)
        assert stage.ended("policy") == 1
        assert "a joint_trajectory_controller takes positions" in stage.log("policy")


URDF = """<robot name="hand"><joint name="ARTz" type="prismatic">
<limit lower="{low}" upper="{high}" velocity="1" effort="1"/></joint></robot>"""


def test_a_robot_description_is_waited_for_and_heeded(tmp_path: Path, spec: TaskSpec) -> None:
    index = spec.actuated_joints.index("ARTz")
    with open_stage(tmp_path) as stage:
        robot = Robot(stage, spec, urdf="topic")
        status_says(robot, "no robot_description has come yet")
        send_in_vain(robot)
        describe = robot.probe.create_publisher(String, "robot_description", qos.LATCHED)
        describe.publish(String(data="<robot"))
        status_says(robot, "holding: the URDF cannot be read")
        describe.publish(String(data=URDF.format(low=-0.02, high=0.01)))
        for _ in range(20):
            robot.commanded(robot.later())
        values = [command.position[index] for command in robot.commands]
    assert min(values) >= -0.02 and max(values) <= 0.01
    assert {-0.02, 0.01} & set(values)  # it would go further


def test_a_urdf_that_is_not_there_is_told(tmp_path: Path) -> None:
    with open_stage(tmp_path) as stage:
        stage.start("policy", POLICY, {"urdf": str(tmp_path / "no.urdf")}, may_end=True)
        assert stage.ended("policy") == 1
        assert "no.urdf cannot be read" in stage.log("policy")


def test_a_hold_can_keep_where_the_joints_are(tmp_path: Path, spec: TaskSpec) -> None:
    with open_stage(tmp_path) as stage:
        robot = Robot(stage, spec, hold_at="measured")
        last = robot.commanded(robot.later())
        status_says(robot, "holding: no usable frame")
        held = robot.probe.wait_for(
            lambda: len(found := with_stamp(robot.commands, stamps([last])[0])) > 2 and found,
            "a hold",
        )
        low, high = np.array(spec.command_low), np.array(spec.command_high)
        assert np.array(held[-1].position) == pytest.approx(np.clip(0.0, low, high))
