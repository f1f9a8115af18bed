"""The DAgger loop of a student (Ross et al. 2011, arXiv 1011.0686).

The student learns on the path it is deployed on: the camera's picture, a mask with the faults of
a segmenter at the camera's size, any background behind the faults, then the policy's own
pre-processing. Its twin for comparison learns from the picture as it is.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch

from policies.base import policy_spec
from policies.networks import StudentNet, StudentNetConfig
from policies.pictures import training_views
from policies.preprocessing import StudentPreprocessing
from policies.student.config import StudentConfig
from policies.student.dataset import Dataset, Drive, Episode, collect
from policies.student.learner import StudentLearner
from policies.student.policy import JointOffsets, StudentPolicy
from policies.training import training_seed
from policies.training.state_file import StateFile
from samg_ros.errors import CheckpointError
from samg_ros.io.atomic import replacing
from samg_ros.robot import PolicySpec
from sim_bridge.experts.state import Normalizer, Teacher
from sim_bridge.scenes.scene import Scene
from sim_bridge.task import CAMERA_SIZE, Task

_VERSION = "student 1"
_ARRAYS = ("frames", "joints", "states", "labels")


class StudentStore:
    """``training.pt`` and ``episodes/`` in a run's folder, of the task called ``task``.

    A round's episodes are written once; masked pictures are mostly black, and take little.
    """

    def __init__(self, folder: Path, task: str) -> None:
        self._file, self._task = StateFile(folder, _VERSION), task
        self._episodes = folder / "episodes"

    def save(self, round_: int, episodes: Sequence[Episode], state: Mapping[str, Any]) -> None:
        """A round is done; a process that is killed meanwhile leaves the one before it.

        :param episodes: that were driven in it. :param state: see :meth:`StateFile.save`.
        :raises OutputError: the disk refuses it.
        """
        arrays: dict[str, Any] = {
            name: np.concatenate([getattr(episode, name) for episode in episodes])
            for name in _ARRAYS
            if episodes
        }
        told: dict[str, Any] = {
            "lengths": np.array([len(episode.labels) for episode in episodes]),
            "successes": np.array([episode.success for episode in episodes], bool),
        }
        with replacing(self._path(round_)) as temporary:
            np.savez_compressed(temporary, **arrays, **told)
        self._file.save({"task": self._task, "round": round_, "state": dict(state)})

    def load(self) -> tuple[int, dict[str, Any]]:
        """The last round that is done, and its state.

        :raises CheckpointError: see :meth:`StateFile.load`.
        """
        stored = self._file.load(self._task)
        return int(stored["round"]), stored["state"]

    def episodes(self, round_: int) -> list[Episode]:
        """Those that were driven in a round. :raises CheckpointError: missing or torn."""
        path = self._path(round_)
        try:
            with np.load(path, allow_pickle=False) as stored:
                ends = np.cumsum(stored["lengths"])[:-1]
                split = {n: np.split(stored[n], ends) for n in _ARRAYS if n in stored}
                successes = stored["successes"].tolist()
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise CheckpointError(
                f"{path}: missing or torn; the run cannot go on from it: start anew"
            ) from error
        return [
            Episode(**{name: parts[i] for name, parts in split.items()}, success=success)
            for i, success in enumerate(successes)
        ]

    def clear(self) -> None:
        """The run is at its end: nothing goes on from here."""
        shutil.rmtree(self._episodes, ignore_errors=True)
        self._file.path.unlink(missing_ok=True)

    def _path(self, round_: int) -> Path:
        return self._episodes / f"{round_:05d}.npz"


_STD_FLOOR = 0.01  # rad or m: less than this is not worth telling apart


class StudentTraining:
    """The DAgger loop. ``policy`` drives with the student's running average of weights.

    Its state is stored after every round. Going on from it gives what a run that was never broken
    off gives, on the same machine.

    :param store: where the state is kept.
    :param resume: go on with the one that lies there, of a training with the same configuration.
    :raises CheckpointError: there is none that could be used.
    :raises ConfigError: offsets, for a task whose commands are no positions of joints it sees.
    """

    def __init__(
        self,
        task: Task,
        teacher: Teacher,
        config: StudentConfig,
        store: StudentStore,
        *,
        resume: bool = False,
    ) -> None:
        torch.manual_seed(config.seed)
        self._begun, self._before_s = time.monotonic(), 0.0
        self._config, self._teacher, self._store = config, teacher, store
        self._scene = Scene(task)
        self._views = training_views(config.mask, config.maskings, config.mask_faults)
        self._rng = np.random.default_rng(config.seed)
        self._rounds_done, self._episodes_done = 0, 0
        self._curves: dict[str, list[float]] = {"action loss": [], "training success": []}
        stored = store.load() if resume else None
        spec = self._make_spec(task)
        first = store.episodes(0) if stored else self._round(None, 0)
        self._dataset = self._make_dataset(first)
        self.policy = self._make_policy(spec)
        if stored:
            self._go_back_to(*stored)
        else:
            self._keep(first)

    def run(self, report: Callable[[int, str], None]) -> dict[str, list[float]]:
        """The rounds that are left.

        :param report: called after each with its number, from 1, and a line about it.
        :return: mean loss, and the share of episodes that succeeded, by round.
        """
        c = self._config
        while self._rounds_done < c.iterations:
            self._rounds_done += 1
            loss = self._learner.fit(self._dataset, c.updates, c.batch_size, self._rng)
            self._curves["action loss"].append(loss)
            episodes = []
            if self._rounds_done < c.iterations:
                episodes = self._round(self.policy, self._rounds_done)
                self._add(episodes)
                successes = fmean(episode.success for episode in episodes)
                self._curves["training success"].append(successes)
            report(self._rounds_done, f"loss {loss:.4f}, {len(self._dataset)} frames")
            self._keep(episodes)
        return self._curves

    @property
    def duration_s(self) -> float:
        """What it took so far, with what earlier runs took that it goes on with."""
        return self._before_s + time.monotonic() - self._begun

    def _keep(self, episodes: list[Episode]) -> None:
        """:param episodes: of the round that is done."""
        state = {
            "learner": self._learner.state_dict(),
            "random": self._rng.bit_generator.state,
            "episodes_done": self._episodes_done,
            "curves": self._curves,
            "duration_s": self.duration_s,
        }
        self._store.save(self._rounds_done, episodes, state)

    def _go_back_to(self, round_: int, state: Mapping[str, Any]) -> None:
        for earlier in range(1, round_ + 1):
            self._add(self._store.episodes(earlier))
        self._learner.load_state_dict(state["learner"])
        self._rng.bit_generator.state = state["random"]
        self._rounds_done, self._episodes_done = round_, state["episodes_done"]
        self._curves, self._before_s = state["curves"], state["duration_s"]

    def _add(self, episodes: list[Episode]) -> None:
        for episode in episodes:
            self._dataset.add(episode)

    def _round(self, student: StudentPolicy | None, round_: int) -> list[Episode]:
        """Episodes until there are enough, or enough frames: they differ in length by task."""
        c = self._config
        limits = (c.episodes, c.round_frames) if round_ else (c.first_episodes, c.first_frames)
        episodes: list[Episode] = []
        frames = 0
        while len(episodes) < limits[0] and frames < limits[1]:
            episodes.append(self._collect(student, round_))
            frames += len(episodes[-1].labels)
        return episodes

    def _collect(self, student: StudentPolicy | None, round_: int) -> Episode:
        c = self._config
        drive = Drive(
            teacher_share=max(c.teacher_share_decay**round_, c.least_teacher_share),
            mean_stretch=c.mean_stretch,
            exploration_std=c.exploration_std,
            max_steps=c.max_steps,
            steps_after_success=c.steps_after_success,
        )
        seed = training_seed(c.seed, self._episodes_done)
        self._episodes_done += 1
        return collect(self._scene, self._views, self._teacher, student, drive, c.image_size, seed)

    def _make_spec(self, task: Task) -> PolicySpec:
        c = self._config
        spec = policy_spec(
            task.spec, image_size=CAMERA_SIZE, frame_stack=c.frame_stack, mask=c.mask
        )
        if c.offsets:
            JointOffsets.check(spec)
        return spec

    def _make_dataset(self, first: list[Episode]) -> Dataset:
        c, longest = self._config, self._scene.task.spec.episode_steps
        # A round overshoots by less than its last episode.
        most = (c.iterations - 1) * (c.round_frames + longest)
        capacity = sum(len(episode.labels) for episode in first) + most
        return Dataset(c.frame_stack, capacity, first, c.frame_gap)

    def _make_policy(self, spec: PolicySpec) -> StudentPolicy:
        """From the first round on: what inputs and outputs are scaled by comes from its data."""
        c, data = self._config, self._dataset
        joints = Normalizer.fit(data.joints, _STD_FLOOR)
        offsets = JointOffsets.fit(spec, data.labels, data.joints) if c.offsets else None
        self._learner = self._make_learner(spec, joints, offsets)
        scale = offsets.scale if offsets else None
        preprocessing = StudentPreprocessing(
            c.image_size, c.frame_stack, joints, c.frame_gap, scale
        )
        return StudentPolicy(spec, preprocessing, self._learner.average)

    def _make_learner(
        self, spec: PolicySpec, joints: Normalizer, offsets: JointOffsets | None
    ) -> StudentLearner:
        c = self._config
        sizes = StudentNetConfig(
            image_size=c.image_size,
            frame_stack=c.frame_stack,
            joints=len(spec.joint_names),
            actions=len(spec.actuated_joints),
            motion=c.motion,
        )
        return StudentLearner(
            StudentNet(sizes),
            joints,
            Normalizer.fit(self._dataset.states, _STD_FLOOR),
            steps=c.iterations * c.updates,
            learning_rate=c.learning_rate,
            state_weight=c.state_weight,
            average_decay=c.average_decay,
            shift_pad=c.shift_pad,
            offsets=offsets,
        )
