"""The DAgger loop of a student (Ross et al. 2011, arXiv 1011.0686).

The student learns on the path it is deployed on: the camera's picture, a mask with the faults of
a segmenter at the camera's size, any background behind the faults, then the policy's own
pre-processing. Its twin for comparison learns from the picture as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import cast

import numpy as np
import torch

from policies.base import policy_spec
from policies.networks import StudentNet, StudentNetConfig
from policies.pictures import training_views
from policies.preprocessing import StudentPreprocessing
from policies.rollout import EpisodeResults, evaluate_policy, evaluate_states
from policies.student.config import StudentConfig
from policies.student.dataset import COLLECTED, Dataset, Drive, Episode, collect, pack, unpack
from policies.student.learner import StudentLearner
from policies.student.policy import JointOffsets, StudentPolicy
from policies.training import EVALUATION_SEEDS, training_seed
from policies.training.run import Kind, TrainingRun, arrays_writer, read_arrays, scores_of
from samg_ros.machine import single_thread
from samg_ros.robot import Mask, PolicySpec
from sim_bridge.envs.env import SamgEnv, make
from sim_bridge.experts.state import Normalizer, StateTeacher, Teacher, shipped_teacher
from sim_bridge.perturbations.grammar import Perturbation, make_perturbation
from sim_bridge.scenes import MASKS
from sim_bridge.scenes.scene import Scene, world_of
from sim_bridge.task import CAMERA_SIZE, Task, TaskSpec, make_task, tasks

KIND = Kind("student", 2)
_STD_FLOOR = 0.01  # rad or m: less than this is not worth telling apart


class StudentTraining:
    """The DAgger loop. ``policy`` drives with the student's running average of weights.

    Its state is kept after every round.

    :param run: keeps it; an interrupted one is resumed, after its last round.
    :raises CheckpointError: a file of the state cannot be used.
    :raises ConfigError: offsets, for a task whose commands are no positions of joints it sees.
    """

    def __init__(
        self, run: TrainingRun, env: SamgEnv, teacher: Teacher, config: StudentConfig
    ) -> None:
        torch.manual_seed(config.seed)
        self._run, self._config, self._teacher = run, config, teacher
        self._env = env
        self._views = training_views(config.mask, config.maskings, config.mask_faults)
        self._rounds_done, self._episodes_done = 0, 0
        self._curves: dict[str, list[float]] = {"action loss": [], "training success": []}
        spec = self._make_spec(env.task_spec)
        first = self._read(0) if run.state else self._round(None, 0)
        self._dataset = self._make_dataset(first)
        self.policy = self._make_policy(spec)
        if run.state:
            self._go_back()
        else:
            self._keep(first)

    def rounds(self, report: Callable[[int, str], None]) -> dict[str, list[float]]:
        """The rounds that are left.

        :param report: called after each with its number, from 1, and a line about it.
        :return: mean loss, and the share of episodes that succeeded, by round.
        """
        c = self._config
        while self._rounds_done < c.iterations:
            self._rounds_done += 1
            rng = np.random.default_rng([c.seed, self._rounds_done])
            loss = self._learner.fit(self._dataset, c.updates, c.batch_size, rng)
            self._curves["action loss"].append(loss)
            episodes = []
            if self._rounds_done < c.iterations:
                episodes = self._round(self.policy, self._rounds_done)
                self._add(episodes)
                successes = fmean(episode.success for episode in episodes)
                self._curves["training success"].append(successes)
            self._keep(episodes)
            report(self._rounds_done, f"loss {loss:.4f}, {len(self._dataset)} frames")
        return self._curves

    def _keep(self, episodes: list[Episode]) -> None:
        """:param episodes: of the round that is done. Masked, they are mostly black: small."""
        state = {
            "rounds_done": self._rounds_done,
            "episodes_done": self._episodes_done,
            "learner": self._learner.state_dict(),
            "curves": self._curves,
        }
        new = {_file(self._rounds_done): arrays_writer(pack(episodes))} if episodes else {}
        self._run.save(state, new, keep=map(_file, range(self._rounds_done)))

    def _read(self, round_: int) -> list[Episode]:
        return self._run.read(_file(round_), lambda path: unpack(read_arrays(path)))

    def _go_back(self) -> None:
        state = self._run.state
        assert state is not None
        self._rounds_done, self._episodes_done = state["rounds_done"], state["episodes_done"]
        self._curves = state["curves"]
        self._learner.load_state_dict(state["learner"])
        # None was driven after the last one.
        for round_ in range(1, min(self._rounds_done + 1, self._config.iterations)):
            self._add(self._read(round_))

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
        return collect(self._env, self._views, self._teacher, student, drive, c.image_size, seed)

    def _make_spec(self, task: TaskSpec) -> PolicySpec:
        c = self._config
        spec = policy_spec(
            task, image_size=CAMERA_SIZE, frame_stack=c.frame_stack, mask=cast(Mask, c.mask)
        )
        if c.offsets:
            JointOffsets.check(spec)
        return spec

    def _make_dataset(self, first: list[Episode]) -> Dataset:
        c, longest = self._config, self._env.task_spec.episode_steps
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


def _file(round_: int) -> str:
    """Where a round's episodes are kept."""
    return f"round_{round_:05d}.npz"


TEACHER = "teacher"
CLEAN = "_clean"


def score(
    policy: StudentPolicy, teacher: Teacher, task: Task, held_out: Perturbation, episodes: int
) -> dict[str, EpisodeResults]:
    """Held-out episodes, by what the student saw, and its teacher's on the same seeds.

    Names of masks stand for the held-out perturbation. A student that learned from raw
    pictures is also scored on raw pictures without it, ``none_clean``, and never on masks.

    :param episodes: of each; their seeds are the first of ``EVALUATION_SEEDS``.
    """
    chosen = EVALUATION_SEEDS[:episodes]
    names = list(MASKS) if policy.spec.mask == "targets" else [policy.spec.mask]
    perturbed, clean = Scene(task, held_out), Scene(task)
    results = {TEACHER: evaluate_states(teacher.label, task, chosen)}
    for name in names:
        results[name] = evaluate_policy(policy, perturbed, name, chosen)
    if policy.spec.mask == "none":
        results["none" + CLEAN] = evaluate_policy(policy, clean, "none", chosen)
    return results


def train_student(
    task_name: str, config: StudentConfig, report: Callable[[int, str], None]
) -> Path:
    """Train a student, score it on held-out seeds and backgrounds, leave a run folder.

    The checkpoint is there from the first round on, and ``config.resume`` resumes an
    interrupted run.

    :param report: called after every round with its number, from 1, and a line about it.
    :return: the checkpoint.
    :raises CheckpointError: the teacher or the state to resume cannot be used, or no teacher ships
        for the task.
    :raises ConfigError: unknown task, or options that a resumed run was not given.
    :raises OutputError: the disk refuses the state; what was finished before is kept.
    :raises SimulationError: the simulator cannot start.
    """
    tasks.get(task_name)  # an unknown name is refused before anything is started
    name = student_name(task_name, config.mask)
    run = TrainingRun(KIND, task_name, config, f"{name}_student")
    path = config.teacher
    teacher = StateTeacher.load(path, task_name) if path else shipped_teacher(task_name)
    # Now, not after the training: it may be missing.
    held_out = make_perturbation("photos", task_name)
    if config.offsets:
        spec = policy_spec(world_of(task_name), image_size=CAMERA_SIZE, frame_stack=1)
        JointOffsets.check(spec)
    # Last, so that a run that cannot begin leaves no folder.
    with run, single_thread():
        checkpoint = run.path / f"{name}.safetensors"
        size = config.camera_size
        with closing(make(task_name, size=size, camera_size=size, **COLLECTED)) as env:
            training = StudentTraining(run, env, teacher, config)

            def after_round(round_: int, line: str) -> None:
                training.policy.save(checkpoint, run.record({}))
                report(round_, line)

            losses = training.rounds(after_round)
        training.policy.save(checkpoint, run.record({}))
        with closing(make_task(task_name, height=CAMERA_SIZE, width=CAMERA_SIZE)) as task:
            # As it is kept, not as it was trained: the file is what is shipped.
            policy = StudentPolicy.load(checkpoint, task_name)
            results = score(policy, teacher, task, held_out, config.evaluation_episodes)
        record = run.record(scores_of(results))
        policy.save(checkpoint, record)
        episodes = {name: asdict(result)["episodes"] for name, result in results.items()}
        run.finish(record, {"episodes": episodes}, losses, xlabel="DAgger iteration")
        run.forget()
    return checkpoint


def student_name(task: str, mask: str) -> str:
    """What a student's checkpoint is called: TASK, or TASK_raw and TASK_black for its twins."""
    suffix = {"targets": "", "none": "_raw", "black": "_black"}[mask]
    return task + suffix
