"""What happens to a camera image and to joint positions before a network sees them.

All of it is plain data, stored in the checkpoint, so that a policy cannot be run with other
pre-processing than it was trained with.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from samg_ros.errors import ConfigError, ImageError


@dataclass(frozen=True)
class Normalizer:
    """``(x - mean) / std``, entry by entry; both in the units of ``x``."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std) or any(not value > 0 for value in self.std):
            raise ConfigError("a Normalizer needs as many means as positive standard deviations")

    @classmethod
    def fit(cls, values: np.ndarray, floor: float) -> Normalizer:
        """Mean and standard deviation of ``values``, float [N, D].

        :param floor: least standard deviation, in the units of ``values``: an entry that hardly
            moved in training must not be blown up when it moves a little at run time.
        """
        std = np.maximum(values.std(axis=0), floor)
        return cls(tuple(map(float, values.mean(axis=0))), tuple(map(float, std)))

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """:param values: float [..., D]. :return: float32 [..., D].

        :raises ConfigError: the last axis is not D long.
        """
        if values.shape[-1:] != (len(self.mean),):
            raise ConfigError(
                f"the policy expects {len(self.mean)} values, got an array of shape {values.shape}"
            )
        normal = (values - np.asarray(self.mean)) / np.asarray(self.std)
        return normal.astype(np.float32)


@dataclass(frozen=True)
class StudentPreprocessing:
    """``image_size``: side of the network's picture in pixels; ``joints``: in rad or m;
    ``frame_gap``: control steps between the entries of a stack; ``offset_scale``: of
    :class:`policies.joint_offsets.JointOffsets`, None where the network names actions."""

    image_size: int
    frame_stack: int
    joints: Normalizer
    frame_gap: int = 1
    offset_scale: tuple[float, ...] | None = None

    def frame(self, image: np.ndarray) -> np.ndarray:
        """One camera image as the network takes it.

        :param image: uint8 [H, H, 3] RGB, H >= ``image_size``.
        :return: uint8 [3, ``image_size``, ``image_size``].
        :raises ImageError: another dtype or shape.
        """
        return area_resize(image, self.image_size).transpose(2, 0, 1)


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


def centre_square(image: np.ndarray) -> np.ndarray:
    """The largest square around a picture's middle.

    :param image: [H, W, C]. :return: [S, S, C], S the smaller of H and W; a view.
    """
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]


class FrameStack:
    """Every ``gap``-th of the last frames, ``length`` of them, oldest first; a new stack repeats
    its first frame."""

    def __init__(self, length: int, gap: int = 1) -> None:
        self._gap, self._kept = gap, (length - 1) * gap + 1
        self._frames: list[np.ndarray] = []

    def reset(self) -> None:
        """Forget all frames."""
        self._frames = []

    def push(self, frame: np.ndarray) -> np.ndarray:
        """:param frame: [C, ...], such as a picture, uint8 [3, S, S].

        :return: [C * ``length``, ...].
        """
        if not self._frames:
            self._frames = [frame] * self._kept
        else:
            self._frames = [*self._frames[1:], frame]
        return np.concatenate(self._frames[:: self._gap])
