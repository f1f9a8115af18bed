"""Single frames through a mask source: what a node or a script needs of the method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from samg_ros.masking.masker import SamgMasker
from samg_ros.masking.result import LOST, STATUS_NAMES


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
        return self.status == STATUS_NAMES[LOST]


class MaskSource(Protocol):
    """Anything that gives a mask for a frame."""

    def __call__(self, rgb: np.ndarray) -> FrameMask:
        """:param rgb: uint8 [H, W, 3]."""
        ...


class SamgFrames:
    """SAM-G, one frame at a time; one copy from the device a frame."""

    def __init__(self, masker: SamgMasker) -> None:
        self._masker = masker

    def __call__(self, rgb: np.ndarray) -> FrameMask:
        batch = self._masker(torch.from_numpy(np.ascontiguousarray(rgb))[None])
        status = batch.status[0].tolist()
        names = self._masker.target_names
        return FrameMask(
            mask=batch.mask[0].cpu().numpy(),
            score=float(batch.score[0]),
            status=STATUS_NAMES[int(batch.frame_status[0])],
            targets={n: STATUS_NAMES[s] for n, s in zip(names, status, strict=True)},
            points=batch.points[0].flatten(0, 1).cpu().numpy(),
            labels=batch.labels[0].flatten().cpu().numpy(),
        )


class UniformFrames:
    """No perception: everything is let through, or nothing (a control for evaluations)."""

    def __init__(self, visible: bool) -> None:
        self._visible = visible

    def __call__(self, rgb: np.ndarray) -> FrameMask:
        return whole_mask(np.full(rgb.shape[:2], self._visible))


def whole_mask(mask: np.ndarray) -> FrameMask:
    """A mask that is known to be right, bool [H, W], as a :class:`FrameMask`."""
    return FrameMask(mask=mask, score=1.0, status="found", targets={})
