"""Joint commands as the messages that different controllers take, all on ``joint_command``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rclpy.duration import Duration
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, MultiArrayDimension
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from samg_ros.commands import JointCommand
from samg_ros.ros import qos
from samg_ros.ros.joints import command_to_msg

_POINT_FIELDS = {"position": "positions", "velocity": "velocities", "effort": "effort"}


@dataclass(frozen=True)
class CommandOutput:
    """One kind of message.

    :param publisher: made on a node. :param message: of a command that shall be reached in so
        many seconds, which only trajectories tell.
    """

    publisher: Callable[[Node], Any]
    message: Callable[[JointCommand, float], Any]


def trajectory_of(command: JointCommand, duration_s: float) -> JointTrajectory:
    """A trajectory of one point, to be reached ``duration_s`` from when it arrives.

    Its stamp is zero, which means now: that of the frame lies in the past, and a
    ``joint_trajectory_controller`` drops a trajectory that should have ended already.
    """
    point = JointTrajectoryPoint(time_from_start=Duration(seconds=duration_s).to_msg())
    setattr(point, _POINT_FIELDS[command.mode], command.values.tolist())
    return JointTrajectory(joint_names=list(command.names), points=[point])


def array_of(command: JointCommand) -> Float64MultiArray:
    """The bare values in the policy's order of joints, as ``forward_command_controller`` takes
    them; the label of their only dimension names the joints."""
    size = len(command.names)
    names = MultiArrayDimension(label=" ".join(command.names), size=size, stride=size)
    msg = Float64MultiArray(data=command.values.tolist())
    msg.layout.dim = [names]
    return msg


OUTPUTS: dict[str, CommandOutput] = {
    "joint_state": CommandOutput(
        lambda node: node.create_publisher(JointState, "joint_command", qos.COMMAND),
        lambda command, duration_s: command_to_msg(command),
    ),
    "joint_trajectory": CommandOutput(
        lambda node: node.create_publisher(JointTrajectory, "joint_command", qos.COMMAND),
        trajectory_of,
    ),
    "float64_multi_array": CommandOutput(
        lambda node: node.create_publisher(Float64MultiArray, "joint_command", qos.COMMAND),
        lambda command, duration_s: array_of(command),
    ),
}
"""By the value of the policy node's parameter ``output``."""
