"""Single frames and their masks on the CPU: what a node needs of whatever makes masks.

Without torch, which masks that come from elsewhere do not need.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

# A camera's name, and its frame: uint8 [H, W, 3] RGB.
CameraFrame = tuple[str, np.ndarray]


@dataclass(frozen=True)
class FrameMask:
    """The mask of one frame, on the CPU.

    ``mask``: bool [H, W]. ``score``: predicted IoU of the worst found target, or 1 where no model
    was asked. ``status``: found | low_confidence | lost. ``targets``: status by target.
    ``points``: float [N, 2] relative (x, y), ``labels``: int [N]: all targets' prompts.
    """

    mask: np.ndarray
    score: float
    status: str
    targets: dict[str, str]
    points: np.ndarray | None = None
    labels: np.ndarray | None = None

    @property
    def lost(self) -> bool:
        return self.status == "lost"


class MaskSource(Protocol):
    """Anything that gives masks for frames of one or several cameras."""

    def __call__(self, frames: Sequence[CameraFrame]) -> list[FrameMask]:
        """:return: a mask for each frame, in their order."""
        ...


class UniformFrames:
    """No perception: everything is let through, or nothing (a control for evaluations)."""

    def __init__(self, visible: bool) -> None:
        self._visible = visible

    def __call__(self, frames: Sequence[CameraFrame]) -> list[FrameMask]:
        return [whole_mask(np.full(rgb.shape[:2], self._visible)) for _, rgb in frames]


def whole_mask(mask: np.ndarray) -> FrameMask:
    """A mask that is known to be right, bool [H, W], as a :class:`FrameMask`."""
    return FrameMask(mask=mask, score=1.0, status="found", targets={})
