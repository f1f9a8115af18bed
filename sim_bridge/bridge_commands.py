"""What the bridge takes for a command: exactly the task's joints, finite, and within limits."""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import JointState

from samg_ros.commands import JointCommand
from samg_ros.errors import ConfigError
from samg_ros.ros.joints import msg_to_command
from sim_bridge.task import Task, TaskSpec

# A limit that went through float32 is still within the limits; as a share of the range.
_TOLERANCE = 1e-6


def read_command(msg: JointState, spec: TaskSpec) -> JointCommand:
    """:raises ConfigError: other joints than ``spec.actuated_joints``, in any order, a wrong
    length, NaN or infinity, or a value beyond the limits; the message names the joint.
    """
    command = msg_to_command(msg, spec.actuated_joints, spec.command_mode)
    low, high = np.array(spec.command_low), np.array(spec.command_high)
    beyond = np.maximum(low - command.values, command.values - high)
    worst = int(np.argmax(beyond / (high - low)))
    if beyond[worst] > _TOLERANCE * (high - low)[worst]:
        raise ConfigError(
            f"command for joint {command.names[worst]} is {command.values[worst]:.6g}; its "
            f"{command.mode} must be within {low[worst]:.6g} to {high[worst]:.6g}"
        )
    return command


def resting_action(task: Task) -> np.ndarray:
    """What holds a robot still until it is told something: its own pose, or no speed or effort.

    :return: float64 [A] in [-1, 1].
    """
    spec = task.spec
    if spec.command_mode != "position":
        return np.zeros(spec.action_size)
    where = dict(zip(spec.joint_names, task.joint_state().position, strict=True))
    return spec.command_to_action(np.array([where[name] for name in spec.actuated_joints]))
