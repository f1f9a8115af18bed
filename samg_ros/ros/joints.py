"""Joint commands between ROS messages and arrays."""

from __future__ import annotations

import math

import numpy as np
from sensor_msgs.msg import JointState

from samg_ros.commands import CommandMode, JointCommand
from samg_ros.errors import ConfigError
from samg_ros.ros.stamps import from_ns, to_ns

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
