"""From the workers' pictures to the policy's, as one batch: plain, or through SAM-G's masks."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from policies.preprocessing import area_resize
from samg_ros.masking.masker import SamgMasker
from samg_ros.masking.result import LOST


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

    def __init__(self, masker: SamgMasker, size: int) -> None:
        self._masker, self._size = masker, size
        self.frames = self.lost = 0

    def __call__(self, pictures: np.ndarray) -> Tensor:
        """:param pictures: uint8 [N, H, H, 3], H >= S. :return: uint8 [N, 3, S, S]."""
        batch = self._masker(torch.from_numpy(pictures.copy()))
        self.frames += len(pictures)
        self.lost += int((batch.frame_status == LOST).sum())
        # Shrunk as the deployed policy shrinks them, which no torch function does to the bit.
        shrunk = [area_resize(picture, self._size) for picture in batch.rgb.cpu().numpy()]
        return torch.from_numpy(np.stack(shrunk).transpose(0, 3, 1, 2).copy())
