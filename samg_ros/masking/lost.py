"""What becomes of a frame in which every target is lost."""

from __future__ import annotations

from typing import Literal

import numpy as np

LostBehaviour = Literal["hold", "passthrough", "blank"]
LOST_BEHAVIOURS: tuple[LostBehaviour, ...] = ("hold", "passthrough", "blank")


class LostFrames:
    """Applies the chosen behaviour and remembers the last good mask.

    ``hold`` keeps the last found mask on the new frame (blank until there is one), ``passthrough``
    lets the whole frame through, ``blank`` gives a black one.
    """

    def __init__(self, behaviour: LostBehaviour) -> None:
        self._behaviour = behaviour
        self._last: np.ndarray | None = None

    def __call__(self, mask: np.ndarray, lost: bool) -> np.ndarray:
        """:param mask: bool [H, W]. :return: the mask to apply, bool [H, W]."""
        if not lost:
            self._last = mask
            return mask
        if self._behaviour == "passthrough":
            return np.ones_like(mask)
        held = self._last
        if self._behaviour == "hold" and held is not None and held.shape == mask.shape:
            return held
        return np.zeros_like(mask)
