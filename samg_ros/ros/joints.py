"""Joint commands between ROS messages and arrays."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from rclpy.duration import Duration
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, MultiArrayDimension
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from samg_ros.errors import ConfigError
from samg_ros.robot import CommandMode, JointCommand
from samg_ros.ros import qos
from samg_ros.ros.qos import NS_PER_S, from_ns, to_ns

_FIELDS: dict[CommandMode, str] = {
    "position": "position",
    "velocity": "velocity",
    "effort": "effort",
}


def command_to_msg(command: JointCommand) -> JointState:
    """A command as ``sensor_msgs/JointState``, in the field of its mode."""
    msg = JointState(name=list(command.names))
    msg.header.stamp = from_ns(command.stamp_ns)
    setattr(msg, _FIELDS[command.mode], command.values.tolist())
    return msg


def msg_to_command(msg: JointState, names: tuple[str, ...], mode: CommandMode) -> JointCommand:
    """Read a command for exactly the joints ``names``, in any order.

    :raises ConfigError: unknown, missing or doubled joints, a wrong length, NaN or infinity.
    """
    values = getattr(msg, _FIELDS[mode])
    if len(values) != len(msg.name):
        raise ConfigError(
            f"command names {len(msg.name)} joints but has {len(values)} {mode} values"
        )
    given = dict(zip(msg.name, values, strict=True))
    unknown = sorted(set(given) - set(names))
    missing = sorted(set(names) - set(given))
    doubled = sorted({name for name in msg.name if list(msg.name).count(name) > 1})
    if unknown or missing or doubled:
        raise ConfigError(
            f"command joints do not fit: unknown {unknown}, missing {missing}, doubled {doubled}"
        )
    wrong = [name for name, value in given.items() if not math.isfinite(value)]
    if wrong:
        raise ConfigError(f"command for joint {wrong[0]} is not a finite number")
    ordered = np.array([given[name] for name in names])
    return JointCommand(names, mode, ordered, to_ns(msg.header.stamp))


def positions_of(msg: JointState, names: tuple[str, ...]) -> np.ndarray:
    """Positions of the joints ``names``, float32 [J], rad or m.

    :raises ConfigError: one is missing or not a finite number; the message names it.
    """
    given = dict(zip(msg.name, msg.position, strict=False))
    missing = [name for name in names if name not in given]
    if missing:
        raise ConfigError(
            f"joint_states lacks the position of {missing[0]} ({len(missing)} in all)"
        )
    wrong = [name for name in names if not math.isfinite(given[name])]
    if wrong:
        raise ConfigError(f"joint_states has no finite position of {wrong[0]}")
    return np.array([given[name] for name in names], np.float32)


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


class JointHistory:
    """What was measured lately.

    :param span_s: states this much older than the newest are forgotten.
    :param tolerance_s: how far from its stamp a state may be used; a state that lies further
        before the newest comes from a clock that was set back, and all before it is forgotten.
    """

    def __init__(self, span_s: float, tolerance_s: float) -> None:
        self._span_ns, self._tolerance_ns = span_s * NS_PER_S, tolerance_s * NS_PER_S
        self._states: OrderedDict[int, np.ndarray] = OrderedDict()
        self._newest = 0

    def add(self, stamp_ns: int, positions: np.ndarray) -> None:
        """Keep a state. :param positions: float [J]."""
        if stamp_ns < self._newest - self._tolerance_ns:
            self._states.clear()
            self._newest = stamp_ns
        self._states[stamp_ns] = positions
        self._newest = max(self._newest, stamp_ns)
        while next(iter(self._states)) < self._newest - self._span_ns:
            self._states.popitem(last=False)

    def at(self, stamp_ns: int) -> np.ndarray | None:
        """The state nearest to a stamp, float [J]; None where none is near enough."""
        if stamp_ns in self._states:
            return self._states[stamp_ns]
        nearest = min(self._states, key=lambda other: abs(other - stamp_ns), default=None)
        if nearest is None or abs(nearest - stamp_ns) > self._tolerance_ns:
            return None
        return self._states[nearest]
