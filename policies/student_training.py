"""The DAgger loop of a student (Ross et al. 2011, arXiv 1011.0686).

The student learns on the path it is deployed on: the camera's picture, a mask with the faults of
a segmenter at the camera's size, any background behind the faults, then the policy's own
pre-processing. Its twin for comparison learns from the picture as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import fmean

import numpy as np
import torch

from policies.base import CAMERA_SIZE, PolicySpec
from policies.collect import Drive, collect
from policies.dataset import Dataset, Episode
from policies.joint_offsets import JointOffsets
from policies.networks import StudentNet, StudentNetConfig
from policies.preprocessing import Normalizer, StudentPreprocessing
from policies.seeds import training_seed
from policies.student import StudentPolicy
from policies.student_config import StudentConfig
from policies.student_learner import StudentLearner
from policies.teacher import Teacher
from policies.training_view import training_views
from sim_bridge.scene import Scene
from sim_bridge.task import Task

_STD_FLOOR = 0.01  # rad or m: less than this is not worth telling apart


class StudentTraining:
    """The DAgger loop. ``policy`` drives with the student's running average of weights."""

    def __init__(self, task: Task, teacher: Teacher, config: StudentConfig) -> None:
        torch.manual_seed(config.seed)
        self._config, self._teacher = config, teacher
        self._scene = Scene(task)
        self._views = training_views(config.mask, config.maskings, config.mask_faults)
        self._rng = np.random.default_rng(config.seed)
        self._episodes_done = 0
        spec = PolicySpec.from_task(
            task.spec,
            image_size=CAMERA_SIZE,
            frame_stack=config.frame_stack,
            mask=config.mask,
        )
        if config.offsets:
            JointOffsets.check(spec)
        first = self._round(None, round_=0)
        # A round overshoots by less than its last episode.
        most = (config.iterations - 1) * (config.round_frames + task.spec.episode_steps)
        capacity = sum(len(episode.labels) for episode in first) + most
        self._dataset = Dataset(config.frame_stack, capacity, first, config.frame_gap)
        joints = Normalizer.fit(self._dataset.joints, _STD_FLOOR)
        offsets = self._fit_offsets(spec) if config.offsets else None
        self._learner = self._make_learner(spec, joints, offsets)
        preprocessing = StudentPreprocessing(
            config.image_size,
            config.frame_stack,
            joints,
            config.frame_gap,
            offsets.scale if offsets else None,
        )
        self.policy = StudentPolicy(spec, preprocessing, self._learner.average)

    def run(self, report: Callable[[int, str], None]) -> dict[str, list[float]]:
        """All rounds. :return: mean loss, and the share of episodes that succeeded, by round."""
        c = self._config
        curves: dict[str, list[float]] = {"action loss": [], "training success": []}
        for round_ in range(1, c.iterations + 1):
            loss = self._learner.fit(self._dataset, c.updates, c.batch_size, self._rng)
            curves["action loss"].append(loss)
            if round_ < c.iterations:
                episodes = self._round(self.policy, round_)
                for episode in episodes:
                    self._dataset.add(episode)
                successes = fmean(episode.success for episode in episodes)
                curves["training success"].append(successes)
            report(round_, f"loss {loss:.4f}, {len(self._dataset)} frames")
        return curves

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

    def _fit_offsets(self, spec: PolicySpec) -> JointOffsets:
        return JointOffsets.fit(spec, self._dataset.labels, self._dataset.joints)

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
