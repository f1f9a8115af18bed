"""The pictures a policy is shown in process: perfect masks, spoilt ones, and two controls.

SAM-G's own masks need its models and are measured on the ROS path; these say what a policy is
worth when masking is perfect or bad, when nothing is masked, and when there is nothing to see.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import cv2
import numpy as np

from samg_ros.errors import ConfigError, ImageError
from samg_ros.images import masked
from sim_bridge.perturbations.grammar import make_perturbation
from sim_bridge.scenes import MASKS
from sim_bridge.scenes.mask_noise import MaskNoise
from sim_bridge.scenes.scene import Scene, SceneFrame
from sim_bridge.task import make_task


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


class NoisyMasks:
    """The oracle's masks with the faults of :class:`sim_bridge.scenes.mask_noise.MaskNoise`."""

    def reset(self, seed: int) -> None:
        """The same seed gives the same faults."""
        self._noise = MaskNoise(np.random.default_rng(seed))

    def __call__(self, frame: SceneFrame) -> np.ndarray:
        """:return: uint8 [H, W, 3], black where the noisy mask is not."""
        return masked(frame.rgb, self._noise(frame.targets))


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


MASK_SOURCES: dict[str, Callable[[], MaskSource]] = dict(
    zip(MASKS, (OracleMasks, NoisyMasks, RawImages, BlackImages), strict=True)
)


def make_mask_source(name: str) -> MaskSource:
    """The mask source called ``name``.

    :raises ConfigError: unknown name; the message lists the choices.
    """
    if name not in MASK_SOURCES:
        raise ConfigError(
            f"unknown mask source {name!r}; choose one of: {', '.join(MASK_SOURCES)}"
        )
    return MASK_SOURCES[name]()


def eval_scene(task: str, perturb: str, size: int) -> Scene:
    """:param size: side of the camera's picture, px.

    :raises SamgError: the task or the look cannot be used.
    """
    perturbation = make_perturbation(perturb, task)
    return Scene(make_task(task, height=size, width=size), perturbation)


class FrameAndTruth:
    """A :class:`View`: above what the camera sees, below where targets are."""

    def reset(self, seed: int) -> None:
        """Nothing to do: there is no history."""

    def __call__(self, frame: SceneFrame) -> np.ndarray:
        """:return: uint8 [2 H, W, 3]; see :func:`parted`."""
        return np.concatenate([frame.rgb, np.repeat(frame.targets[..., None], 3, axis=2)])


def parted(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What :class:`FrameAndTruth` put together: a copy.

    :param picture: uint8 [2 H, W, 3].
    :return: the frame, uint8 [H, W, 3], and its targets, uint8 [H, W], as ``SceneFrame`` has them.
    """
    rgb, targets = np.split(picture, 2)
    return rgb.copy(), targets[..., 0].copy()


def area_resize(image: np.ndarray, size: int) -> np.ndarray:
    """Shrink a square picture by averaging, which keeps thin parts that sampling would lose.

    :param image: uint8 [H, H, 3], H >= ``size``.
    :return: uint8 [``size``, ``size``, 3].
    :raises ImageError: another dtype, not three channels, not square, or smaller than ``size``.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ImageError(
            f"the policy's image must be uint8 [H, W, 3], got {image.dtype} {image.shape}"
        )
    height, width = image.shape[:2]
    if height != width or height < size:
        raise ImageError(
            f"the policy's image must be square and at least {size} pixels wide, "
            f"got {width}x{height}: set the camera's size, or the policy node's crop to center"
        )
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)


class WorkerView:
    """A :class:`View` of one mask source at one size.

    :param mask: name of a mask source. :param size: side of the picture in pixels, at most the
        camera's.
    :raises ConfigError: unknown mask source.
    """

    def __init__(self, mask: str, size: int) -> None:
        self._source = make_mask_source(mask)
        self._size = size

    def reset(self, seed: int) -> None:
        """Begin the episode of ``seed``."""
        self._source.reset(seed)

    def __call__(self, frame: SceneFrame) -> np.ndarray:
        """:return: uint8 [``size``, ``size``, 3]. :raises ImageError: the camera is smaller."""
        return area_resize(self._source(frame), self._size)


def plain_scene(task: str, camera_size: int) -> Scene:
    """A task before its own background.

    :param camera_size: side of the camera's picture in pixels.
    :raises ConfigError: unknown task. :raises SimulationError: the simulator cannot start.
    """
    return Scene(make_task(task, height=camera_size, width=camera_size))


class View(Protocol):
    """Makes, in a worker, the picture that is handed on; may have a history of its own."""

    def reset(self, seed: int) -> None:
        """Begin the episode of ``seed``."""
        ...

    def __call__(self, frame: SceneFrame) -> np.ndarray:
        """:return: uint8 [H, W, 3], of the size that :class:`VectorScenes` was told."""
        ...
