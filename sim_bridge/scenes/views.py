"""The pictures a policy is shown by masks that need no model: perfect, degraded, and two controls.

They say what a policy is worth when masking is perfect or bad, when nothing is masked, and when
there is nothing to see.
"""

from __future__ import annotations

import cv2
import numpy as np

from samg_ros.errors import ConfigError, ImageError
from samg_ros.images import check_rgb, masked
from sim_bridge.scenes import MASKS
from sim_bridge.scenes.mask_noise import MaskNoise


class EpisodeView:
    """What a policy is shown of one episode, by masks that the simulation gives by itself.

    :param masks: one of :data:`sim_bridge.scenes.MASKS`. ``oracle``: every target, exactly;
        ``oracle+noise``: the same with the faults of a segmenter; ``none``: the camera's picture;
        ``black``: nothing, which tells how far joint positions alone go.
    :param seed: of the episode; the faults follow from it.
    :raises ConfigError: unknown masks.
    """

    def __init__(self, masks: str, seed: int) -> None:
        if masks not in MASKS:
            raise ConfigError(f"unknown masks {masks!r}; choose one of: {', '.join(MASKS)}")
        self._masks = masks
        noisy = masks == "oracle+noise"
        self._noise = MaskNoise(np.random.default_rng(seed)) if noisy else None

    def __call__(self, rgb: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """The picture of the next frame.

        :param rgb: uint8 [H, W, 3], what the camera sees.
        :param targets: uint8 [H, W], 0 where no target is; not looked at without masks.
        :return: uint8 [H, W, 3], black where the mask is not.
        """
        if self._masks == "none":
            return rgb
        if self._masks == "black":
            return np.zeros_like(rgb)
        return masked(rgb, self._noise(targets) if self._noise else targets > 0)


def area_resize(image: np.ndarray, size: int) -> np.ndarray:
    """Shrink a square picture by averaging, which keeps thin parts that sampling would lose.

    :param image: uint8 [H, H, 3], H >= ``size``.
    :return: uint8 [``size``, ``size``, 3].
    :raises ImageError: another dtype, not three channels, not square, or smaller than ``size``.
    """
    check_rgb(image, "the policy's image")
    height, width = image.shape[:2]
    if height != width or height < size:
        raise ImageError(
            f"the policy's image must be square and at least {size} pixels wide, "
            f"got {width}x{height}: set the camera's size, or the policy node's crop to center"
        )
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
