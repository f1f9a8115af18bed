"""What policies see beside the simulation's own masks: SAM-G's, and what students learn from.

The simulation's are :class:`sim_bridge.scenes.views.EpisodeView`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from samg_ros.images import masked
from samg_ros.masking.config import LostBehaviour
from samg_ros.masking.masker import Masker
from samg_ros.masking.result import LostFrames, MaskResult
from samg_ros.masking.scores import iou
from sim_bridge.perturbations.backgrounds import NoiseBackground, composite
from sim_bridge.scenes.views import EpisodeView, MaskNoise, MaskNoiseConfig, area_resize


class BatchPictures:
    """From the environments' pictures to an agent's, all copies as one batch.

    With a masker their pictures are raw and as large as the camera makes them; a frame whose
    targets are all lost becomes black, as in the publication. Without one they are the agent's
    already.

    :param size: side of the agent's picture in pixels.
    """

    def __init__(self, size: int, masker: Masker | None = None) -> None:
        self._size, self._masker = size, masker
        self.frames = self.lost = 0
        """Pictures so far, and how many of them had every target lost."""

    def __call__(self, rgb: np.ndarray) -> Tensor:
        """:param rgb: uint8 [N, H, H, 3]. :return: a copy, uint8 [N, 3, S, S]."""
        self.frames += len(rgb)
        if self._masker is not None:
            found = self._masker(rgb)
            self.lost += int(found.lost.sum())
            # Shrunk as the deployed policy shrinks them, which no torch function does to the bit.
            rgb = np.stack([area_resize(picture, self._size) for picture in found.rgb])
        return torch.from_numpy(rgb.transpose(0, 3, 1, 2).copy())


class SamgView:
    """What a policy is shown of one episode by SAM-G's masks, and how good those were.

    :param on_lost: what frames become in which every target is lost.
    """

    def __init__(self, on_lost: LostBehaviour) -> None:
        self._lost = LostFrames(on_lost)
        self._ious: list[float] = []
        self._found: list[bool] = []

    def __call__(self, rgb: np.ndarray, targets: np.ndarray, found: MaskResult) -> np.ndarray:
        """:param found: SAM-G's mask of the next frame. :return: uint8 [H, W, 3]."""
        mask = self._lost(found.mask, found.lost)
        self._ious.append(iou(mask, targets > 0))
        self._found.append(found.status == "found")
        return masked(rgb, mask)

    def scores(self) -> dict[str, Any]:
        """``mean_iou``, ``min_iou`` and ``found`` of an ``EpisodeRecord``."""
        found = fmean(map(float, self._found))
        return {"mean_iou": fmean(self._ious), "min_iou": min(self._ious), "found": found}


View = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""One way to see an episode, frame by frame: ``rgb``, uint8 [H, W, 3] before any background, and
``targets``, uint8 [H, W] ids, to a picture, uint8 [H, W, 3]."""

Views = Callable[[int], list[View]]
"""The ways in which the episode of a seed is seen; the student drives on the first."""


class NoisyView:
    """One way a segmenter might have seen an episode: its own faults and its own background.

    :param seed: what they follow from. :param faults: how bad the masks get.
    """

    def __init__(self, seed: Sequence[int], faults: MaskNoiseConfig) -> None:
        rng = np.random.default_rng(seed)
        self._background = NoiseBackground()
        self._background.reset(int(rng.integers(2**31)))
        self._noise = MaskNoise(rng, faults)
        self._step = 0

    def __call__(self, rgb: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """:return: the next frame's picture, uint8 [H, W, 3], black where the mask is not."""
        mask = self._noise(targets)
        behind = self._background.frame(self._step, *mask.shape)
        self._step += 1
        return masked(composite(rgb, targets > 0, behind), mask)


def training_views(mask: str, maskings: int, faults: float) -> Views:
    """What ``samg train student --mask`` names.

    With masks, several are independently degraded, before moving textures: photographs are what a
    student is measured on. Without them there is one way to see a frame, the task as it is: the
    twin that a masked student is compared with learns like everyone who has no masker.

    :param mask: ``targets``, or masks of :class:`EpisodeView` that need no targets.
    :param maskings: maskings of every frame, where it is masked; ``faults``: how strong, relative
        to :class:`MaskNoiseConfig`'s.
    """
    if mask != "targets":
        return lambda seed: [EpisodeView(mask, seed)]
    noise = MaskNoiseConfig().scaled(faults)
    return lambda seed: [NoisyView([seed, 1, i], noise) for i in range(maskings)]
