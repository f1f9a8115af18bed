"""Moving pictures to be shown behind a task, and how they are put there."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np

from samg_ros.errors import ImageError


class Background(Protocol):
    """An endless moving picture; what it shows depends on the seed and the index alone."""

    def reset(self, seed: int) -> None:
        """Choose a new picture, video or texture.

        :raises ImageError: its file cannot be read.
        """
        ...

    def frame(self, index: int, height: int, width: int) -> np.ndarray:
        """:param index: time step, from 0. :return: uint8 [height, width, 3] RGB."""
        ...


def composite(rgb: np.ndarray, foreground: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Put the foreground of one picture before another.

    :param rgb: uint8 [H, W, 3]. :param foreground: bool [H, W], True where ``rgb`` is kept.
    :param background: uint8 [H, W, 3].
    :return: uint8 [H, W, 3], a new array.
    :raises ImageError: the shapes do not agree.
    """
    if not rgb.shape[:2] == foreground.shape == background.shape[:2]:
        raise ImageError(
            f"cannot composite a picture of shape {rgb.shape} with a mask of shape "
            f"{foreground.shape} on a background of shape {background.shape}: sizes must agree"
        )
    # 20 times faster than np.where, which spreads the mask over the channels first.
    return cv2.copyTo(rgb, foreground.view(np.uint8), background.copy())
