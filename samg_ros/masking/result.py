"""What masking gives: the masks of a batch of frames, with a score and a status by target."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

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
