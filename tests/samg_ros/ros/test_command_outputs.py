"""A command as each of the messages that controllers take."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS here")

from policies.node import policy_config
from samg_ros.robot import CommandMode, JointCommand
from samg_ros.ros.joints import OUTPUTS, array_of, trajectory_of

NAMES = ("elbow", "wrist")


def command(mode: CommandMode) -> JointCommand:
    return JointCommand(NAMES, mode, np.array([0.5, -1.5]), stamp_ns=7_000_000_003)


@pytest.mark.parametrize(
    ("mode", "field"),
    [("position", "positions"), ("velocity", "velocities"), ("effort", "effort")],
)
def test_a_trajectory_is_one_point_in_the_field_of_its_mode(mode: CommandMode, field: str) -> None:
    msg = trajectory_of(command(mode), 1.25)
    (point,) = msg.points
    given = {name for name in ("positions", "velocities", "effort") if len(getattr(point, name))}
    assert given == {field} and list(getattr(point, field)) == [0.5, -1.5]
    assert tuple(msg.joint_names) == NAMES
    assert (point.time_from_start.sec, point.time_from_start.nanosec) == (1, 250_000_000)
    # The frame's stamp lies in the past, where a controller would drop it: zero means now.
    assert (msg.header.stamp.sec, msg.header.stamp.nanosec) == (0, 0)


def test_an_array_has_the_values_in_the_order_of_joints() -> None:
    msg = array_of(command("effort"))
    assert list(msg.data) == [0.5, -1.5] and msg.layout.data_offset == 0
    (dim,) = msg.layout.dim
    assert (dim.label, dim.size, dim.stride) == ("elbow wrist", 2, 2)


def test_a_joint_state_carries_the_frames_stamp() -> None:
    msg = OUTPUTS["joint_state"].message(command("velocity"), 1.0)
    assert list(msg.velocity) == [0.5, -1.5] and not msg.position and not msg.effort
    assert (msg.header.stamp.sec, msg.header.stamp.nanosec) == (7, 3)


def test_every_output_of_the_parameter_is_there() -> None:
    assert tuple(OUTPUTS) == policy_config.OUTPUTS
