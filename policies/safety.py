"""The last thing before the wire: what makes commands within the limits of actions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from policies.limits import Limits
from samg_ros.errors import ImplausibleStateError, UnsafeActionError
from samg_ros.robot import PolicySpec


@dataclass(frozen=True)
class SafeCommand:
    """A command that may be sent. ``values``: float64 [A]; ``limited``: the change was cut."""

    values: np.ndarray
    limited: bool


class CommandGuard:
    """Turns actions into commands that keep to the limits, whatever is asked or measured.

    The range comes last: rates and accelerations are limited first, counted from the last command
    or, at first and after a pause, from where the robot is measured to be. What leaves has been
    checked once more.

    :param spec: of the policy. :param limits: never left.
    :param max_gap_s: two commands further apart than this are limited as if it lay between them,
        so that a pause does not add up to a leap.
    """

    def __init__(self, spec: PolicySpec, limits: Limits, max_gap_s: float) -> None:
        self._spec, self._limits, self._max_gap_s = spec, limits, max_gap_s
        self.speed_scale = 1.0
        """Share of the largest rate that is used, and of a velocity's range; in [0, 1]."""
        self.reset()

    @property
    def last(self) -> np.ndarray | None:
        """The last command, float64 [A]; None where none was given since the reset."""
        return None if self._last is None else self._last.copy()

    def reset(self) -> None:
        """Forget what was commanded."""
        self._last: np.ndarray | None = None
        self.start_again()

    def start_again(self) -> None:
        """After a pause the robot may be anywhere: count the next change as that of a first
        command. What :meth:`hold` keeps stays."""
        self._starts = True
        self._rate = np.zeros(len(self._spec.actuated_joints))

    def __call__(
        self, action: np.ndarray, gap_s: float, measured: Mapping[str, float]
    ) -> SafeCommand:
        """The command of an action.

        :param action: float [A]; beyond [-1, 1] it is clipped.
        :param gap_s: since the command before; a first one is taken to follow a control step.
        :param measured: positions in rad or m by joint.
        :raises UnsafeActionError: a wrong size, NaN or infinity; nothing may be sent then.
        :raises ImplausibleStateError: a measured position is none that the joint can have, or a
            first position command has nothing to start from: hold until it does.
        """
        self.check(action)
        positions = self._plausible(measured)
        wanted = self._spec.action_to_command(action)
        if self._spec.command_mode == "velocity":
            wanted = wanted * self.speed_scale
        wanted = np.clip(wanted, self._limits.low, self._limits.high)
        before = self._before(positions)
        gap_s = self._gap(gap_s)
        values = self._sent(before + self._change(wanted - before, gap_s))
        self._rate = (values - before) / gap_s if gap_s else np.zeros_like(values)
        self._last, self._starts = values, False
        return SafeCommand(values.copy(), bool((values != wanted).any()))

    def hold(self, measured: Mapping[str, float] | None = None) -> np.ndarray | None:
        """The command that keeps a robot where it is: the last position, or no motion and no
        effort. It becomes the last command.

        :param measured: positions to hold at instead, where they can be believed.
        :return: float64 [A]; None where a position would be needed and none is known.
        """
        if self._spec.command_mode != "position":
            self._last = self._sent(np.zeros(len(self._spec.actuated_joints)))
        elif measured is not None:
            try:
                positions = self._plausible(measured)
            except ImplausibleStateError:
                positions = np.full(len(self._spec.actuated_joints), np.nan)
            if np.isfinite(positions).all():
                self._last = self._sent(positions)
        return self.last

    def _change(self, wanted: np.ndarray, gap_s: float) -> np.ndarray:
        """As much of a wanted change, float64 [A], as rates and accelerations allow."""
        most = self._limits.max_rate * self.speed_scale * gap_s
        with np.errstate(invalid="ignore"):
            jump = self._limits.max_acceleration * gap_s * gap_s
        jump = np.where(np.isnan(jump), np.inf, jump)  # 0 s of no limit: none
        steady = self._rate * gap_s
        wanted = np.clip(wanted, steady - jump, steady + jump)
        return np.clip(wanted, -most, most)

    def _gap(self, gap_s: float) -> float:
        """Seconds that a change may take; NaN and times that run back allow none."""
        if self._starts:
            return self._spec.control_dt_s
        return min(gap_s, self._max_gap_s) if gap_s > 0 else 0.0

    def _before(self, positions: np.ndarray) -> np.ndarray:
        """What the change is counted from, float64 [A]."""
        if self._last is not None and not self._starts:
            return self._last
        if self._spec.command_mode != "position":
            return np.zeros_like(positions)
        if (unknown := np.flatnonzero(np.isnan(positions))).size:
            name = self._spec.actuated_joints[unknown[0]]
            raise ImplausibleStateError(
                f"the position of joint {name} is not measured ({unknown.size} in all): a first "
                "command has nothing to start from"
            )
        return positions

    def _plausible(self, measured: Mapping[str, float]) -> np.ndarray:
        """Positions of the commanded joints, float64 [A]; NaN where one is not measured."""
        names = self._spec.actuated_joints
        positions = np.array([measured.get(name, np.nan) for name in names], np.float64)
        low, high = self._limits.reach_low, self._limits.reach_high
        told = np.array([name in measured for name in names])
        wrong = told & ~(np.isfinite(positions) & (positions >= low) & (positions <= high))
        if wrong.any():
            first = int(np.argmax(wrong))
            raise ImplausibleStateError(
                f"joint {names[first]} is measured at {positions[first]:.6g}, which is not within "
                f"{low[first]:.6g} to {high[first]:.6g} ({int(wrong.sum())} in all)"
            )
        return positions

    def _sent(self, values: np.ndarray) -> np.ndarray:
        """The range, after everything else, and a last check. :raises UnsafeActionError: NaN."""
        values = np.clip(values, self._limits.low, self._limits.high)
        inside = (values >= self._limits.low) & (values <= self._limits.high)
        if not (np.isfinite(values) & inside).all():
            raise UnsafeActionError("a command came out as no number within the limits")
        return values

    def check(self, action: np.ndarray) -> None:
        """:raises UnsafeActionError: a wrong size, NaN or infinity."""
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
