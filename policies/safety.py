"""What stands between a policy's action and a robot: limits, a limit on change, and the stop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from samg_ros.errors import UnsafeActionError
from samg_ros.robot import PolicySpec


@dataclass(frozen=True)
class SafetyLimits:
    """How far a policy is trusted.

    :param range_share: share of the policy's range of commands, around its middle, that is used.
    :param max_rate: largest change of a command in a second, in the command's unit a second
        (rad/s of a position, rad/s^2 of a velocity, N m/s of an effort); 0 sets no limit.
    :param max_gap_s: two commands further apart than this are limited as if it lay between them,
        so that a pause does not add up to a leap.
    """

    range_share: float
    max_rate: float
    max_gap_s: float


@dataclass(frozen=True)
class SafeCommand:
    """A command that may be sent. ``values``: float64 [A]; ``limited``: the change was cut."""

    values: np.ndarray
    limited: bool


class CommandGuard:
    """Turns actions into commands that keep to the limits.

    :param spec: of the policy; its ``command_low`` and ``command_high`` are never left.
    """

    def __init__(self, spec: PolicySpec, limits: SafetyLimits) -> None:
        self._spec, self._limits = spec, limits
        low, high = spec.command_limits
        middle, half = (low + high) / 2, (high - low) / 2 * limits.range_share
        self._low, self._high = middle - half, middle + half
        self.reset()

    @property
    def last(self) -> np.ndarray | None:
        """The last command, float64 [A]; None where none was given since the reset."""
        return None if self._last is None else self._last.copy()

    def reset(self) -> None:
        """Forget what was commanded."""
        self._last: np.ndarray | None = None
        self._starts = True

    def start_again(self) -> None:
        """After a pause the robot may be anywhere: count the next change as that of a first
        command. What :meth:`hold` keeps stays."""
        self._starts = True

    def __call__(
        self, action: np.ndarray, gap_s: float, measured: Mapping[str, float]
    ) -> SafeCommand:
        """The command of an action.

        :param action: float [A]; beyond [-1, 1] it is clipped.
        :param gap_s: since the command before; a first one is taken to follow a control step.
        :param measured: positions in rad or m by joint: what a first position starts from.
        :raises UnsafeActionError: a wrong size, NaN or infinity; nothing may be sent then.
        """
        self._check(action)
        wanted = np.clip(self._spec.action_to_command(action), self._low, self._high)
        before = self._before(measured, wanted)
        most = self._most(gap_s)
        self._last = np.clip(wanted, before - most, before + most)
        self._starts = False
        return SafeCommand(self._last.copy(), bool((self._last != wanted).any()))

    def hold(self) -> np.ndarray | None:
        """The command that keeps a robot where it is: the last position, or no motion and no
        effort. It becomes the last command.

        :return: float64 [A]; None where a position would be needed and none was commanded.
        """
        if self._spec.command_mode != "position":
            self._last = np.zeros(len(self._spec.actuated_joints))
        return self.last

    def _most(self, gap_s: float) -> float:
        """The largest change, in the command's unit."""
        if not self._limits.max_rate:
            return np.inf
        gap_s = self._spec.control_dt_s if self._starts else gap_s
        return self._limits.max_rate * min(max(gap_s, 0.0), self._limits.max_gap_s)

    def _before(self, measured: Mapping[str, float], wanted: np.ndarray) -> np.ndarray:
        """What the change is counted from."""
        if self._last is not None and not self._starts:
            return self._last
        if self._spec.command_mode != "position":
            return np.zeros_like(wanted)
        names = self._spec.actuated_joints
        # A joint that is not measured may go where it is sent: there is nothing to compare with.
        return np.array([measured.get(n, w) for n, w in zip(names, wanted, strict=True)])

    def _check(self, action: np.ndarray) -> None:
        joints = self._spec.actuated_joints
        if np.shape(action) != (len(joints),):
            raise UnsafeActionError(
                f"the policy's action has shape {np.shape(action)}, "
                f"its specification names {len(joints)} joints"
            )
        if wrong := [joints[i] for i in np.flatnonzero(~np.isfinite(action))]:
            raise UnsafeActionError(
                f"the policy's action for joint {wrong[0]} is not a finite number "
                f"({len(wrong)} of {len(joints)} are not)"
            )
