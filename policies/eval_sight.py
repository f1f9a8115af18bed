"""What the policies of several running episodes are shown, through one masker."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import numpy as np

from policies.eval_config import SAMG
from policies.mask_source import make_mask_source, masked
from samg_ros.masking.frames import FrameMask, MaskSource
from samg_ros.masking.lost import LostBehaviour, LostFrames
from sim_bridge.scene import SceneFrame


class Sight:
    """One episode's pictures, and how good the masks of SAM-G were if it is they.

    :param mask: ``samg``, or a name of ``policies.mask_source``.
    :param on_lost: what SAM-G's lost frames become.
    """

    def __init__(self, mask: str, seed: int, on_lost: LostBehaviour) -> None:
        self.needs_masker = mask == SAMG
        self._lost = LostFrames(on_lost)
        self._ious: list[float] = []
        self._found: list[bool] = []
        if not self.needs_masker:
            self._source = make_mask_source(mask)
            self._source.reset(seed)

    def picture(self, frame: SceneFrame, found: FrameMask | None) -> np.ndarray:
        """:param found: SAM-G's mask where it is needed. :return: uint8 [H, W, 3]."""
        if found is None:
            return self._source(frame)
        mask = self._lost(found.mask, found.lost)
        self._ious.append(_iou(mask, frame.targets > 0))
        self._found.append(found.status == "found")
        return masked(frame.rgb, mask)

    def scores(self) -> dict[str, float | None]:
        """``mean_iou``, ``min_iou`` and ``found`` of an ``EpisodeRecord``."""
        if not self._ious:
            return {"mean_iou": None, "min_iou": None, "found": None}
        found = fmean(map(float, self._found))
        return {"mean_iou": fmean(self._ious), "min_iou": min(self._ious), "found": found}


def pictures(
    sights: Sequence[Sight], frames: Sequence[SceneFrame], task: str, masker: MaskSource | None
) -> list[np.ndarray]:
    """The pictures of one control step of several episodes; SAM-G gets its frames as one batch.

    :param masker: of frames of the camera named as the task; None where no sight needs it.
    :return: uint8 [H, W, 3] each.
    """
    asked = [index for index, sight in enumerate(sights) if sight.needs_masker]
    found: dict[int, FrameMask] = {}
    if asked and masker is not None:
        masks = masker([(task, frames[index].rgb) for index in asked])
        found = dict(zip(asked, masks, strict=True))
    pairs = zip(sights, frames, strict=True)
    return [sight.picture(frame, found.get(i)) for i, (sight, frame) in enumerate(pairs)]


def _iou(mask: np.ndarray, truth: np.ndarray) -> float:
    """:param mask: bool [H, W]. :param truth: bool [H, W]. :return: 1 where both are empty."""
    union = (mask | truth).sum()
    return float((mask & truth).sum() / union) if union else 1.0
