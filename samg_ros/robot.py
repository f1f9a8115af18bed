"""A robot as tasks and policies know it: its joints, its commands, and actions for them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from samg_ros.errors import ConfigError, SimulationError, quoted

CommandMode = Literal["position", "velocity", "effort"]
Mask = Literal["targets", "none", "black"]
WIDEST = 1e6
"""No joint's limit lies beyond it, in its unit; a specification that says so is damaged."""


@dataclass(frozen=True)
class JointCommand:
    """What joints shall do. ``values``: float64 [A], in rad | rad/s | N m (m for slides).

    ``stamp_ns`` is that of the camera frame the command answers.
    """

    names: tuple[str, ...]
    mode: CommandMode
    values: np.ndarray
    stamp_ns: int


def action_to_command(action: np.ndarray, low, high) -> np.ndarray:
    """Normalised action, float [A] in [-1, 1], to values within [low, high], float64 [A]."""
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    return (low + high) / 2 + np.clip(action, -1.0, 1.0) * (high - low) / 2


def command_to_action(values: np.ndarray, low, high) -> np.ndarray:
    """Inverse of :func:`action_to_command`; values beyond the limits are clipped to them."""
    return np.clip(as_action(values, low, high), -1.0, 1.0)


def as_action(values: np.ndarray, low, high) -> np.ndarray:
    """Values in the units of a command, float [..., A], in those of actions, float64 [..., A]:
    [low, high] becomes [-1, 1], and what lies beyond the limits lies beyond them still."""
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    return (values - (low + high) / 2) / ((high - low) / 2)


@dataclass(frozen=True, kw_only=True)
class RobotSpec:
    """What is read from a robot and what it is commanded, each control step.

    ``joint_names``: whose positions are read, rad or m.
    ``actuated_joints``: what is commanded; ``command_low`` and ``command_high`` are the limits, in
    their order and in the units of ``command_mode``: rad (m for slides), rad/s, or N m.
    """

    joint_names: tuple[str, ...]
    actuated_joints: tuple[str, ...]
    command_mode: CommandMode
    command_low: tuple[float, ...]
    command_high: tuple[float, ...]
    control_dt_s: float

    def __post_init__(self) -> None:
        """:raises ConfigError: no robot could be driven by what it says."""
        _check_names(self.joint_names)
        _check_names(self.actuated_joints)
        _check_limits(self.command_low, self.command_high, self.action_size)
        if not 1e-4 <= self.control_dt_s <= 60:
            raise ConfigError(
                f"a control step of {self.control_dt_s} s cannot be; it must be 0.0001 to 60 s"
            )

    @property
    def action_size(self) -> int:
        return len(self.actuated_joints)

    @cached_property
    def command_limits(self) -> tuple[np.ndarray, np.ndarray]:
        """``command_low`` and ``command_high`` as float64 [A], read-only."""
        low, high = np.array([self.command_low, self.command_high], np.float64)
        low.flags.writeable = high.flags.writeable = False
        return low, high

    def action_to_command(self, action: np.ndarray) -> np.ndarray:
        """Normalised action, float [A], to the values of a joint command, float64 [A].

        What lies beyond [-1, 1] is clipped; NaN stays NaN, and no task or robot takes it.

        :raises SimulationError: another shape.
        """
        if np.shape(action) != (self.action_size,):
            raise SimulationError(
                f"an action has shape ({self.action_size},), one value for each of "
                f"actuated_joints; got {np.shape(action)}"
            )
        return action_to_command(action, *self.command_limits)

    def command_to_action(self, command: np.ndarray) -> np.ndarray:
        """Inverse of :meth:`action_to_command`; values beyond the limits are clipped to them."""
        return command_to_action(command, *self.command_limits)


@dataclass(frozen=True, kw_only=True)
class PolicySpec(RobotSpec):
    """What a policy needs from and gives to the outside.

    Its actions in [-1, 1] become commands of the robot that it learned on, in the order of
    ``actuated_joints``; of the robot's joints it reads ``joint_names``.
    ``mask``: what the pictures were that it learned from: ``targets`` (all but the task's targets
    is black), ``none`` (the camera's), ``black`` (nothing at all).
    """

    task: str
    camera: str
    image_size: int
    frame_stack: int
    mask: Mask = "targets"

    def __post_init__(self) -> None:
        """:raises ConfigError: no robot could be driven by what it says."""
        super().__post_init__()
        if not (1 <= self.image_size <= 4096 and 1 <= self.frame_stack <= 64):
            raise ConfigError(
                f"a stack of {self.frame_stack} frames of {self.image_size} px cannot be"
            )


def _check_names(names: tuple[str, ...]) -> None:
    """Joints as messages name them, each once."""
    for name in names:
        if not (isinstance(name, str) and 0 < len(name) <= 128 and name.isprintable()):
            raise ConfigError(f"a joint cannot be called {quoted(name, 40)}")
    if len(set(names)) < len(names):
        doubled = next(name for name in names if names.count(name) > 1)
        raise ConfigError(f"the joint {doubled!r} is named twice")


def _check_limits(low: tuple[float, ...], high: tuple[float, ...], size: int) -> None:
    if not size or [len(low), len(high)] != [size, size] or not np.isfinite([low, high]).all():
        raise ConfigError("the command limits are not one finite pair a joint")
    for one, other in zip(low, high, strict=True):
        if not one < other:
            raise ConfigError(f"the lower command limit {one} is not below its upper one, {other}")
        if max(abs(one), abs(other)) > WIDEST:
            raise ConfigError(f"a command limit lies beyond {WIDEST:g}: no joint's does")
