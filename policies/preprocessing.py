"""What happens to a camera image and to joint positions before a network sees them.

All of it is plain data, stored in the checkpoint, so that a policy cannot be run with other
pre-processing than it was trained with.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim_bridge.experts.state import Normalizer
from sim_bridge.scenes.views import area_resize


@dataclass(frozen=True)
class StudentPreprocessing:
    """``image_size``: side of the network's picture in pixels; ``joints``: in rad or m;
    ``frame_gap``: control steps between the entries of a stack; ``offset_scale``: of
    :class:`policies.student.policy.JointOffsets`, None where the network names actions."""

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
