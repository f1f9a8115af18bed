"""The pictures a policy is shown in process: perfect masks, spoilt ones, and two controls.

SAM-G's own masks need its models and are measured on the ROS path; these say what a policy is
worth when masking is perfect or bad, when nothing is masked, and when there is nothing to see.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import cv2
import numpy as np

from policies.mask_noise import MaskNoise
from samg_ros.errors import ConfigError
from sim_bridge.scene import SceneFrame


class MaskSource(Protocol):
    """Makes the picture that a policy sees out of a scene's."""

    def reset(self, seed: int) -> None:
        """Begin the episode of ``seed``."""
        ...

    def __call__(self, frame: SceneFrame) -> np.ndarray:
        """:return: uint8 [H, W, 3]."""
        ...


class OracleMasks:
    """The simulator's own segmentation: every target, exactly."""

    def reset(self, seed: int) -> None:
        """Nothing to do: these masks have no history."""

    def __call__(self, frame: SceneFrame) -> np.ndarray:
        """:return: uint8 [H, W, 3], black where no target is."""
        return masked(frame.rgb, frame.targets > 0)


class NoisyMasks:
    """The oracle's masks with the faults of :class:`policies.mask_noise.MaskNoise`."""

    def reset(self, seed: int) -> None:
        """The same seed gives the same faults."""
        self._noise = MaskNoise(np.random.default_rng(seed))

    def __call__(self, frame: SceneFrame) -> np.ndarray:
        """:return: uint8 [H, W, 3], black where the noisy mask is not."""
        return masked(frame.rgb, self._noise(frame.targets))


class RawImages:
    """No masking: what a policy sees without SAM-G."""

    def reset(self, seed: int) -> None:
        """Nothing to do."""

    def __call__(self, frame: SceneFrame) -> np.ndarray:
        """:return: uint8 [H, W, 3], the camera's picture."""
        return frame.rgb


class BlackImages:
    """Nothing to see: tells how far joint positions alone go."""

    def reset(self, seed: int) -> None:
        """Nothing to do."""

    def __call__(self, frame: SceneFrame) -> np.ndarray:
        """:return: uint8 [H, W, 3] of zeros."""
        return np.zeros_like(frame.rgb)


MASK_SOURCES: dict[str, Callable[[], MaskSource]] = {
    "oracle": OracleMasks,
    "oracle+noise": NoisyMasks,
    "none": RawImages,
    "black": BlackImages,
}


def make_mask_source(name: str) -> MaskSource:
    """The mask source called ``name``.

    :raises ConfigError: unknown name; the message lists the choices.
    """
    if name not in MASK_SOURCES:
        raise ConfigError(
            f"unknown mask source {name!r}; choose one of: {', '.join(MASK_SOURCES)}"
        )
    return MASK_SOURCES[name]()


def masked(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """:param rgb: uint8 [H, W, 3]. :param mask: bool [H, W]. :return: ``rgb``, else black."""
    # 20 times faster than np.where, which spreads the mask over the channels first.
    return cv2.copyTo(rgb, mask.view(np.uint8))
