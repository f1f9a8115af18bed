"""Everything a student has seen so far, several maskings of each frame, ready to be sampled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Episode:
    """One training episode of T steps.

    ``frames``: uint8 [T, V, 3, S, S], V views of the same pictures, each consistent in time;
    ``joints``: float32 [T, J] in rad or m; ``states``: float64 [T, D];
    ``labels``: float32 [T, A], the teacher's actions; ``success``: whether it was reached.
    """

    frames: np.ndarray
    joints: np.ndarray
    states: np.ndarray
    labels: np.ndarray
    success: bool


@dataclass(frozen=True)
class Batch:
    """``images``: uint8 [B, 3 * frame_stack, S, S]; ``joints``: float32 [B, frame_stack, J]; the
    rest float32 [B, ...]; joints and states as they come, not normalised."""

    images: Tensor
    joints: Tensor
    states: Tensor
    labels: Tensor


class Dataset:
    """Frames are kept once and stacked when sampled, which divides the memory by the stack."""

    def __init__(
        self, frame_stack: int, capacity: int, first: Sequence[Episode], frame_gap: int = 1
    ) -> None:
        """:param capacity: most steps it can take. :param first: added; they fix the sizes.
        :param frame_gap: steps between the frames of a stack.
        """
        self._ages = frame_gap * np.arange(frame_stack - 1, -1, -1)
        one = first[0]
        # The system hands out these pages as they are filled, so spare capacity costs nothing.
        self._frames = np.empty((capacity, *one.frames.shape[1:]), np.uint8)
        self._joints = np.empty((capacity, one.joints.shape[1]), np.float32)
        self._states = np.empty((capacity, one.states.shape[1]), np.float32)
        self._labels = np.empty((capacity, one.labels.shape[1]), np.float32)
        self._starts = np.empty(capacity, np.int64)
        self._length = 0
        for episode in first:
            self.add(episode)

    @property
    def joints(self) -> np.ndarray:
        """float32 [N, J] of all steps so far."""
        return self._joints[: self._length]

    @property
    def states(self) -> np.ndarray:
        """float32 [N, D] of all steps so far."""
        return self._states[: self._length]

    @property
    def labels(self) -> np.ndarray:
        """float32 [N, A] of all steps so far."""
        return self._labels[: self._length]

    def __len__(self) -> int:
        return self._length

    def add(self, episode: Episode) -> None:
        """:raises ValueError: it does not fit into the capacity."""
        rows = slice(self._length, self._length + len(episode.labels))
        self._frames[rows] = episode.frames
        self._joints[rows] = episode.joints
        self._states[rows] = episode.states
        self._labels[rows] = episode.labels
        self._starts[rows] = self._length
        self._length = rows.stop

    def sample(self, size: int, rng: np.random.Generator) -> Batch:
        """``size`` steps, each in one of its maskings, all drawn uniformly."""
        row = rng.integers(self._length, size=size)
        masking = rng.integers(self._frames.shape[1], size=size)
        # Before an episode's first frame the stack repeats it, as a FrameStack does.
        rows = np.maximum(row[:, None] - self._ages, self._starts[row][:, None])
        images = self._frames[rows, masking[:, None]]
        return Batch(
            images=torch.from_numpy(images.reshape(size, -1, *images.shape[3:])),
            joints=torch.from_numpy(self._joints[rows]),
            states=torch.from_numpy(self._states[row]),
            labels=torch.from_numpy(self._labels[row]),
        )
