"""Joint commands between ROS messages and arrays."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rclpy.duration import Duration
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, MultiArrayDimension
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from samg_ros.errors import ConfigError, quoted
from samg_ros.robot import CommandMode, JointCommand
from samg_ros.ros import qos
from samg_ros.ros.qos import NS_PER_S, from_ns, to_ns

_FIELDS: dict[CommandMode, str] = {
    "position": "position",
    "velocity": "velocity",
    "effort": "effort",
}
MOST_JOINTS = 1024
"""Of one message: a longer one is refused before it is looked at."""
FARTHEST = 1e30
"""rad or m; what lies beyond is no position, and NaN is none either."""
MOST_PUBLISHERS = 64
"""Sets of joints that messages may name: a robot has a few."""


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
    if len(msg.name) > MOST_JOINTS:  # before anything is looped over
        raise ConfigError(f"command names {len(msg.name)} joints; {len(names)} are needed")
    given = dict(zip(msg.name, values, strict=True))
    unknown = sorted(set(given) - set(names))
    missing = sorted(set(names) - set(given))
    doubled = sorted(name for name, times in Counter(msg.name).items() if times > 1)
    if unknown or missing or doubled:
        raise ConfigError(
            f"command joints do not fit: unknown {_listed(unknown)}, missing {_listed(missing)}, "
            f"doubled {_listed(doubled)}"
        )
    wrong = [name for name, value in given.items() if not math.isfinite(value)]
    if wrong:
        raise ConfigError(f"command for joint {wrong[0]} is not a finite number")
    ordered = np.array([given[name] for name in names])
    return JointCommand(names, mode, ordered, to_ns(msg.header.stamp))


def _listed(names: list[str]) -> str:
    """A few of some foreign names."""
    shown = ", ".join(quoted(name, 40) for name in names[:4])
    return f"[{shown}{f', and {len(names) - 4} more' if len(names) > 4 else ''}]"


_POINT_FIELDS = {"position": "positions", "velocity": "velocities", "effort": "effort"}


@dataclass(frozen=True)
class CommandOutput:
    """One kind of message.

    :param publisher: made on a node. :param message: of a command that shall be reached in so
        many seconds, which only trajectories say.
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
    """The bare values in the command's order of joints, as ``forward_command_controller`` takes
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
    """What was measured lately, put together by joint: an arm and its hand may publish apart.

    :param names: the joints that are wanted, in this order; others are left aside.
    :param span_s: states this much older than the newest of their publisher are forgotten.
    :param tolerance_s: how far from its stamp a state may be used; a state that lies further
        before its publisher's newest comes from a clock that was set back, and all is forgotten.
    """

    def __init__(self, names: Sequence[str], span_s: float, tolerance_s: float) -> None:
        self._names = tuple(names)
        self._span_ns, self._tolerance_ns = span_s * NS_PER_S, tolerance_s * NS_PER_S
        self._parts: dict[tuple[str, ...], _Part] = {}

    def add(self, stamp_ns: int, msg: JointState) -> bool:
        """Keep a state under a stamp. :return: whether it has any joint that is wanted.

        :raises ConfigError: a joint is named twice or has no finite position, or there are too
            many joints, or messages that name ever other ones.
        """
        part = self._part_of(msg)
        if not part.wanted:
            return False
        if len(msg.position) <= part.last:
            name = msg.name[part.last]
            raise ConfigError(f"joint_states lacks the position of {quoted(name)}")
        positions = np.asarray(msg.position, np.float64)[part.columns]
        # What policies see are float32, in which far too large a number is infinite.
        fine = np.abs(positions) < FARTHEST
        if not fine.all():
            wrong = self._names[part.wanted[int(np.argmin(fine))]]
            raise ConfigError(f"joint_states has no finite position of {wrong}")
        if stamp_ns < part.newest - self._tolerance_ns:
            for other in self._parts.values():
                other.states.clear()
                other.newest = 0
        part.add(stamp_ns, positions, self._span_ns)
        return True

    def at(self, stamp_ns: int) -> np.ndarray | None:
        """The positions nearest to a stamp, float32 [J], rad or m; None where a joint has none
        near enough: :meth:`missing` says which."""
        positions, distances = self._nearest(stamp_ns)
        return None if np.isinf(distances).any() else positions.astype(np.float32)

    def missing(self, stamp_ns: int) -> list[str]:
        """The joints without a position near enough to a stamp."""
        distances = self._nearest(stamp_ns)[1]
        return [n for n, far in zip(self._names, np.isinf(distances), strict=True) if far]

    def newest(self) -> dict[str, float]:
        """The last position of every joint that was ever measured, rad or m."""
        found: dict[str, tuple[int, float]] = {}
        for part in self._parts.values():
            if part.states:
                values = part.states[part.newest]
                for index, value in zip(part.wanted, values.tolist(), strict=True):
                    name = self._names[index]
                    found[name] = max(found.get(name, (0, value)), (part.newest, value))
        return {name: value for name, (_, value) in found.items()}

    def _nearest(self, stamp_ns: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions, float64 [J], and how far from the stamp each is; infinite where too far."""
        positions = np.zeros(len(self._names))
        distances = np.full(len(self._names), np.inf)
        for part in self._parts.values():
            stamp = part.nearest(stamp_ns)
            if stamp is None or (far := abs(stamp - stamp_ns)) > self._tolerance_ns:
                continue
            nearer = far < distances[part.wanted]
            index = np.asarray(part.wanted)[nearer]
            positions[index], distances[index] = part.states[stamp][nearer], far
        return positions, distances

    def _part_of(self, msg: JointState) -> _Part:
        if len(msg.name) > MOST_JOINTS:
            raise ConfigError(f"joint_states names {len(msg.name)} joints, over {MOST_JOINTS}")
        key = tuple(msg.name)
        if key not in self._parts:
            if len(self._parts) >= MOST_PUBLISHERS:
                raise ConfigError("joint_states name other joints in nearly every message")
            place = {name: column for column, name in enumerate(key)}
            if len(place) < len(key):
                raise ConfigError("joint_states name a joint twice")
            wanted = [i for i, name in enumerate(self._names) if name in place]
            self._parts[key] = _Part(wanted, [place[self._names[i]] for i in wanted])
        return self._parts[key]


class _Part:
    """The states of messages that name the same joints.

    :param wanted: which of the history's joints they have. :param columns: and where.
    """

    def __init__(self, wanted: list[int], columns: list[int]) -> None:
        self.wanted, self.columns = wanted, columns
        self.last = max(columns, default=-1)
        self.states: OrderedDict[int, np.ndarray] = OrderedDict()
        self.newest = 0

    def add(self, stamp_ns: int, positions: np.ndarray, span_ns: float) -> None:
        self.states[stamp_ns] = positions
        self.newest = max(self.newest, stamp_ns)
        while next(iter(self.states)) < self.newest - span_ns:
            self.states.popitem(last=False)

    def nearest(self, stamp_ns: int) -> int | None:
        if stamp_ns in self.states:
            return stamp_ns
        return min(self.states, key=lambda other: abs(other - stamp_ns), default=None)
