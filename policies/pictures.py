"""From the workers' pictures to the policy's, as one batch: plain, or through SAM-G's masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from samg_ros.images import masked
from samg_ros.masking.masker import Masker
from sim_bridge.perturbations.backgrounds import Background, NoiseBackground, composite
from sim_bridge.scenes.mask_noise import MaskNoise, MaskNoiseConfig
from sim_bridge.scenes.scene import SceneFrame
from sim_bridge.scenes.views import area_resize, make_mask_source


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


View = Callable[[SceneFrame], np.ndarray]
"""One way to see an episode: a frame before any background to uint8 [H, W, 3]."""

Views = Callable[[int], list[View]]
"""The ways in which the episode of a seed is seen; the student drives on the first."""


class Masking:
    """One way a segmenter might have seen an episode: its own faults and its own background."""

    def __init__(
        self, background: Background, seed: Sequence[int], faults: MaskNoiseConfig
    ) -> None:
        rng = np.random.default_rng(seed)
        self._background = background
        self._background.reset(int(rng.integers(2**31)))
        self._noise = MaskNoise(rng, faults)

    def __call__(self, frame: SceneFrame) -> np.ndarray:
        """:param frame: before any background. :return: uint8 [H, W, 3], masked."""
        mask = self._noise(frame.targets)
        behind = self._background.frame(frame.step, *mask.shape)
        return masked(composite(frame.rgb, frame.targets > 0, behind), mask)


def noisy_maskings(count: int, faults: float = 1.0) -> Views:
    """``count`` independently spoilt maskings, before moving textures: photographs are what a
    student is measured on.

    :param faults: how strong the faults are, relative to :class:`MaskNoiseConfig`'s.
    """
    backgrounds = [NoiseBackground() for _ in range(count)]
    noise = MaskNoiseConfig().scaled(faults)
    return lambda seed: [Masking(b, [seed, 1, i], noise) for i, b in enumerate(backgrounds)]


def training_views(mask: str, maskings: int, faults: float) -> Views:
    """What ``samg train student --mask`` names.

    Without masks there is one way to see a frame, the task as it is: the twin that a masked
    student is compared with learns like everyone who has no masker.

    :param mask: ``targets``, or the name of a mask source that has no masks.
    :param maskings: maskings of every frame, where it is masked; ``faults``: of what strength.
    :raises ConfigError: unknown mask source.
    """
    if mask == "targets":
        return noisy_maskings(maskings, faults)

    def views(seed: int) -> list[View]:
        source = make_mask_source(mask)
        source.reset(seed)
        return [source]

    return views
