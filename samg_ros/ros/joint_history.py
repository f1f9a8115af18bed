"""Joint positions by stamp, for frames that come later than the states of their moment."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

from samg_ros.ros.stamps import NS_PER_S


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
