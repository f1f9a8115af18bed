"""What masking gives: the masks of a batch of frames, with a score and a status by target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from samg_ros.masking.config import LostBehaviour

LOST, LOW_CONFIDENCE, FOUND = 0, 1, 2
STATUS_NAMES = ("lost", "low_confidence", "found")


@dataclass(frozen=True)
class MaskBatch:
    """The result for B frames; every tensor is on the masker's device.

    ``rgb``: uint8 [B, H, W, 3], zero off the targets. ``mask``: bool [B, H, W], all targets.
    ``target_masks``: bool [B, T, H, W]. ``scores``: float [B, T], predicted IoU; ``score``: float
    [B], the worst found target's, 0 where all are lost. ``likeness``: float [B, T], how alike
    what the mask holds is to the reference (mean cosine). ``status``: int8 [B, T], an index of
    ``STATUS_NAMES``. ``points``: float [B, T, N, 2], relative (x, y); ``labels``: int [B, T, N].
    """

    rgb: Tensor
    mask: Tensor
    target_masks: Tensor
    scores: Tensor
    likeness: Tensor
    status: Tensor
    points: Tensor
    labels: Tensor

    @property
    def score(self) -> Tensor:
        return self.scores.masked_fill(self.status == LOST, torch.inf).amin(1).nan_to_num(posinf=0)

    @property
    def frame_status(self) -> Tensor:
        """int8 [B]: lost where every target is, found where every target is."""
        worst, best = self.status.amin(1), self.status.amax(1)
        return torch.where(best == LOST, best, worst.clamp(min=LOW_CONFIDENCE))


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
