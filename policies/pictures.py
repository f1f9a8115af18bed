"""From the workers' pictures to the policy's, as one batch: plain, or through SAM-G's masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from samg_ros.images import masked
from samg_ros.masking.masker import Masker
from sim_bridge.perturbations.backgrounds import NoiseBackground, composite
from sim_bridge.scenes.mask_noise import MaskNoise, MaskNoiseConfig
from sim_bridge.scenes.views import EpisodeView, area_resize


class BatchPictures(Protocol):
    """Makes the policy's pictures of a batch. What it shows depends on the batch alone.

    ``frames`` counts the pictures so far, ``lost`` those in which every target was lost.
    """

    frames: int
    lost: int

    def __call__(self, pictures: np.ndarray) -> Tensor:
        """:param pictures: uint8 [N, H, W, 3]. :return: uint8 [N, 3, S, S]."""
        ...


class WorkerPictures:
    """The workers did it all."""

    def __init__(self) -> None:
        self.frames = self.lost = 0

    def __call__(self, pictures: np.ndarray) -> Tensor:
        """:param pictures: uint8 [N, S, S, 3]. :return: a copy, uint8 [N, 3, S, S]."""
        self.frames += len(pictures)
        return torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy())


class SamgPictures:
    """Raw camera pictures through one masker. A frame whose targets are all lost becomes black,
    as in the publication.

    :param size: side of the policy's picture in pixels.
    """

    def __init__(self, masker: Masker, size: int) -> None:
        self._masker, self._size = masker, size
        self.frames = self.lost = 0

    def __call__(self, pictures: np.ndarray) -> Tensor:
        """:param pictures: uint8 [N, H, H, 3], H >= S. :return: uint8 [N, 3, S, S]."""
        found = self._masker(pictures)
        self.frames += len(pictures)
        self.lost += int(found.lost.sum())
        # Shrunk as the deployed policy shrinks them, which no torch function does to the bit.
        shrunk = [area_resize(picture, self._size) for picture in found.rgb]
        return torch.from_numpy(np.stack(shrunk).transpose(0, 3, 1, 2).copy())


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

    With masks, several are independently spoilt, before moving textures: photographs are what a
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
