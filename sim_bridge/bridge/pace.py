"""How well a simulation that should run in real time does so."""

from __future__ import annotations

from collections import deque

import numpy as np

WINDOW = 50
"""Control steps over which the pace is measured."""
ENOUGH = 10
"""Control steps before anything is said of it: a first picture takes longer than others."""
LATE = 0.95
"""Simulated time by wall-clock time, below which a simulation is late."""


class Pace:
    """Compares the wall clock with the control steps taken; pauses do not count.

    :param control_dt_s: simulated time of a control step.
    """

    def __init__(self, control_dt_s: float) -> None:
        self._dt_s = control_dt_s
        self._periods: deque[float] = deque(maxlen=WINDOW)
        self._pictures: deque[float] = deque(maxlen=WINDOW)
        self._lag_s = self._last_s = 0.0
        self._told = False

    def begin(self, now_s: float) -> None:
        """An episode begins at ``now_s`` of a clock that never goes back."""
        self._periods.clear()
        self._pictures.clear()
        self._lag_s, self._last_s, self._told = 0.0, now_s, False

    def tick(self, now_s: float, *, stepped: bool) -> bool:
        """Another control step is due, and taken unless the simulation stands still.

        :return: whether this is when the episode turns out to be late.
        """
        period_s, self._last_s = now_s - self._last_s, now_s
        if stepped:
            self._periods.append(period_s)
            self._lag_s += period_s - self._dt_s
        newly = self.is_late and not self._told
        self._told |= newly
        return newly

    def picture(self, seconds: float) -> None:
        """A picture, with all that goes with it, took so long to render."""
        self._pictures.append(seconds)

    @property
    def lag_s(self) -> float:
        """How far the simulation is behind the wall clock since the episode began, s."""
        return max(0.0, self._lag_s)

    @property
    def factor(self) -> float:
        """Simulated time by wall-clock time, lately; 1 before the first step."""
        return self._dt_s / self._mean_period_s() if self._periods else 1.0

    @property
    def is_late(self) -> bool:
        """Whether the simulation lately did not keep up."""
        return len(self._periods) >= ENOUGH and self.factor < LATE

    def facts(self) -> dict[str, str]:
        """For diagnostics."""
        return {
            "realtime_factor": f"{self.factor:.2f}",
            "lag_s": f"{self.lag_s:.2f}",
            "picture_ms": f"{self._picture_s() * 1e3:.1f}",
        }

    def warning(self) -> str:
        """Why it is late; empty where it is not."""
        if not self.is_late:
            return ""
        return (
            f"slower than real time: a control step of {self._dt_s * 1e3:.0f} ms takes "
            f"{self._mean_period_s() * 1e3:.0f} ms, {self._picture_s() * 1e3:.0f} ms of it for "
            "the picture"
        )

    def _mean_period_s(self) -> float:
        return float(np.mean(self._periods))

    def _picture_s(self) -> float:
        return float(np.mean(self._pictures)) if self._pictures else 0.0
