"""Everything a student has seen so far, several maskings of each frame, ready to be sampled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from policies.base import Observation
from policies.pictures import Views
from policies.student.policy import StudentPolicy
from sim_bridge.envs.env import SamgEnv
from sim_bridge.experts.state import Teacher
from sim_bridge.scenes.views import area_resize


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


_ARRAYS = ("frames", "joints", "states", "labels")


def pack(episodes: Sequence[Episode]) -> dict[str, np.ndarray]:
    """Episodes one after the other, as they are kept on disk."""
    arrays = {name: np.concatenate([getattr(e, name) for e in episodes]) for name in _ARRAYS}
    arrays["lengths"] = np.array([len(episode.labels) for episode in episodes])
    return arrays | {"successes": np.array([episode.success for episode in episodes])}


def unpack(arrays: Mapping[str, np.ndarray]) -> list[Episode]:
    """What :func:`pack` was given."""
    ends = np.cumsum(arrays["lengths"])[:-1]
    parts = {name: np.split(arrays[name], ends) for name in _ARRAYS}
    return [
        Episode(**{name: of_all[i] for name, of_all in parts.items()}, success=bool(success))
        for i, success in enumerate(arrays["successes"])
    ]


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


@dataclass(frozen=True)
class Drive:
    """How an episode is driven. ``teacher_share`` is the probability that the teacher is drawn to
    drive (DAgger's beta), for a stretch of ``mean_stretch`` steps on average; ``exploration_std``
    is noise on the actions driven.
    ``max_steps`` is for tasks that report success: others have to be driven to the end."""

    teacher_share: float
    mean_stretch: int
    exploration_std: float
    max_steps: int
    steps_after_success: int


COLLECTED: dict[str, Any] = {
    "keys": ("rgb", "mask", "joints", "state"),
    "masks": "none",
    "stop_on_success": False,
}
"""Options of the environment that :func:`collect` drives in; its rgb is as large as the camera's
picture."""


def collect(
    env: SamgEnv,
    views: Views,
    teacher: Teacher,
    student: StudentPolicy | None,
    drive: Drive,
    image_size: int,
    seed: int,
) -> Episode:
    """Drive one episode. The student drives on the first of the views, the others are extra data.

    :param env: with the options of :data:`COLLECTED`, without a perturbation.
    :param student: None lets the teacher drive alone.
    """
    rng = np.random.default_rng([seed, 0])
    ways = views(seed)
    frames, joints, states = [], [], []
    labels: list[np.ndarray] = []
    if student:
        student.reset()
    observation, _ = env.reset(seed=seed)
    spec = env.task_spec
    teacher_drives = True
    succeeded, end = False, drive.max_steps if spec.tells_success else spec.episode_steps
    over = False
    while len(labels) < end and not over:
        images = [view(observation["rgb"], observation["mask"]) for view in ways]
        frames.append([area_resize(image, image_size).transpose(2, 0, 1) for image in images])
        joints.append(observation["joints"])
        states.append(observation["state"])
        labels.append(teacher.label(observation["state"]))
        action = labels[-1]
        if student:
            # It acts even where the teacher drives: its frame stack must not miss a frame.
            own = student.act(Observation(images[0], joints[-1]))
            if len(labels) == 1 or rng.random() < 1 / drive.mean_stretch:
                teacher_drives = rng.random() < drive.teacher_share
            action = action if teacher_drives else own
        action = action + rng.normal(0, drive.exploration_std, action.shape)
        observation, _, _, over, info = env.step(action)
        if info["success"] and not succeeded:
            succeeded, end = True, min(end, len(labels) + drive.steps_after_success)
    return Episode(
        frames=np.array(frames),
        joints=np.stack(joints),
        states=np.stack(states),
        labels=np.stack(labels),
        success=succeeded,
    )
