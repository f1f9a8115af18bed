"""Joint commands, and how normalised actions become them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

CommandMode = Literal["position", "velocity", "effort"]


@dataclass(frozen=True)
class JointCommand:
    """What joints are told to do. ``values``: float64 [A], in rad | rad/s | N m (m for slides).

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


@dataclass(frozen=True)
class PolicySpec:
    """What a policy needs from and gives to the outside.

    ``command_low``/``command_high`` turn an action in [-1, 1] into a joint command (units of
    ``command_mode``: rad, rad/s or N m), in the order of ``actuated_joints``.
    ``mask``: what the pictures were that it learned from: ``targets`` (all but the task's targets
    is black), ``none`` (the camera's), ``black`` (nothing at all).
    """

    task: str
    camera: str
    image_size: int
    frame_stack: int
    joint_names: tuple[str, ...]
    actuated_joints: tuple[str, ...]
    command_mode: CommandMode
    command_low: tuple[float, ...]
    command_high: tuple[float, ...]
    control_dt_s: float
    mask: str = "targets"
