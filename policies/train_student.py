"""Trains a masked-image student to imitate a state teacher, by DAgger (arXiv 1011.0686).

The student learns on the path it is deployed on: the camera's picture, a mask with the faults of
a segmenter at the camera's size, any background behind the faults, then the policy's own
pre-processing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
import torch

from policies.base import PolicySpec
from policies.checkpoint import TrainingRecord
from policies.collect import Drive, collect
from policies.dataset import Dataset, Episode
from policies.evaluation import EpisodeResults, evaluate
from policies.mask_source import MASK_SOURCES, make_mask_source
from policies.networks import StudentNet, StudentNetConfig
from policies.preprocessing import Normalizer, StudentPreprocessing
from policies.run_folder import RunFolder, package_version
from policies.seeds import EVALUATION_SEEDS, training_seed
from policies.student import StudentPolicy
from policies.student_learner import StudentLearner
from policies.teacher import StateTeacher, Teacher
from samg_ros.parameters import documented, parameter, validate
from samg_ros.threads import single_thread
from sim_bridge.backgrounds import Background, make_background
from sim_bridge.scene import Scene
from sim_bridge.task import Task, make_task

_CAMERA_SIZE = 256
_STD_FLOOR = 0.01  # rad or m: less than this is not worth telling apart


@documented
@dataclass(frozen=True)
class StudentConfig:
    """What ``samg train student`` can be told."""

    teacher: Path | None = parameter(
        None, "the teacher's checkpoint; None takes the one that ships"
    )
    seed: int = parameter(
        0, "seeds the network, the order of the data and the episodes", low=0, high=40_000
    )
    iterations: int = parameter(
        30, "rounds of driving and training; the teacher drives in the first", low=1, high=10_000
    )
    first_episodes: int = parameter(20, "episodes of the first round", low=1, high=1000)
    episodes: int = parameter(5, "episodes of every later round", low=1, high=1000)
    updates: int = parameter(400, "gradient steps a round", low=1, high=1_000_000)
    batch_size: int = parameter(64, "frame stacks a gradient step", low=1, high=10_000)
    learning_rate: float = parameter(
        1e-3, "Adam's, at the start; it falls to zero along a cosine", low=1e-8, high=1
    )
    maskings: int = parameter(
        3, "independently spoilt maskings that are kept of every episode", low=1, high=16
    )
    teacher_share_decay: float = parameter(
        0.5,
        "the teacher's share of the driving is this to the power of the round, from 1",
        low=0,
        high=1,
    )
    exploration_std: float = parameter(
        0.05,
        "noise on the actions that are driven (not on labels), so that recoveries are seen",
        low=0,
        high=1,
    )
    max_steps: int = parameter(
        60, "longest training episode, in control steps", unit="control steps", low=1, high=10_000
    )
    steps_after_success: int = parameter(
        10,
        "control steps that are still driven once the task has succeeded",
        unit="control steps",
        low=1,
        high=10_000,
    )
    state_weight: float = parameter(
        0.1, "weight of telling the state beside imitating the action", low=0, high=1000
    )
    average_decay: float = parameter(
        0.995,
        "decay a step of the running average of weights, which is what drives and is kept",
        low=0,
        high=0.999999,
    )
    image_size: int = parameter(
        84, "side of the network's picture in pixels", unit="px", low=36, high=256
    )
    frame_stack: int = parameter(3, "pictures in a stack", low=1, high=16)
    runs: Path = parameter(Path("runs/train"), "where the run's folder is made")

    def __post_init__(self) -> None:
        validate(self)


def train_student(
    task_name: str, config: StudentConfig, report: Callable[[int, str], None]
) -> Path:
    """Train a student, score it on held-out seeds and backgrounds, leave a run folder.

    :param report: called after every round with its number, from 1, and a line about it.
    :return: the checkpoint.
    :raises CheckpointError: the teacher cannot be used, or none ships for the task.
    :raises ConfigError: unknown task. :raises SimulationError: the simulator cannot start.
    """
    path = config.teacher
    teacher = StateTeacher.load(path, task_name) if path else StateTeacher.shipped(task_name)
    held_out = make_background("photos")  # now, not after the training: it may be missing
    run = RunFolder(config.runs, f"{task_name}_student", config)
    task = make_task(task_name, height=_CAMERA_SIZE, width=_CAMERA_SIZE)
    start = time.monotonic()
    try:
        with single_thread():
            training = StudentTraining(task, teacher, config)
            losses = training.run(report)
            duration_s = round(time.monotonic() - start, 1)
            results = score(training.policy, Scene(task, held_out))
    finally:
        task.close()
    record = TrainingRecord(
        command=f"samg train student {task_name}",
        seed=config.seed,
        duration_s=duration_s,
        scores={name: result.success_rate for name, result in results.items()},
        version=package_version(),
    )
    checkpoint = run.path / f"{task_name}.safetensors"
    training.policy.save(checkpoint, record)
    episodes = {name: asdict(result)["episodes"] for name, result in results.items()}
    run.write_results({"record": asdict(record), "episodes": episodes})
    run.write_curve(f"{task_name}: student", losses)
    return checkpoint


class StudentTraining:
    """The DAgger loop. ``policy`` drives with the student's running average of weights."""

    def __init__(self, task: Task, teacher: Teacher, config: StudentConfig) -> None:
        torch.manual_seed(config.seed)
        self._config, self._teacher = config, teacher
        self._scene = Scene(task)
        self._backgrounds = _noise_backgrounds(config.maskings)
        self._rng = np.random.default_rng(config.seed)
        self._episodes_done = 0
        first = [self._collect(None, round_=0) for _ in range(config.first_episodes)]
        rest = config.episodes * (config.iterations - 1)
        capacity = (config.first_episodes + rest) * config.max_steps
        self._dataset = Dataset(config.frame_stack, capacity, first)
        joints = Normalizer.fit(self._dataset.joints, _STD_FLOOR)
        self._learner = self._make_learner(task, joints)
        self.policy = StudentPolicy(
            PolicySpec.from_task(
                task.spec, image_size=_CAMERA_SIZE, frame_stack=config.frame_stack
            ),
            StudentPreprocessing(config.image_size, config.frame_stack, joints),
            self._learner.average,
        )

    def run(self, report: Callable[[int, str], None]) -> dict[str, list[float]]:
        """All rounds. :return: mean loss, and the share of episodes that succeeded, by round."""
        c = self._config
        curves: dict[str, list[float]] = {"action loss": [], "training success": []}
        for round_ in range(1, c.iterations + 1):
            loss = self._learner.fit(self._dataset, c.updates, c.batch_size, self._rng)
            curves["action loss"].append(loss)
            if round_ < c.iterations:
                episodes = [self._collect(self.policy, round_) for _ in range(c.episodes)]
                for episode in episodes:
                    self._dataset.add(episode)
                successes = fmean(episode.success for episode in episodes)
                curves["training success"].append(successes)
            report(round_, f"loss {loss:.4f}, {len(self._dataset)} frames")
        return curves

    def _collect(self, student: StudentPolicy | None, round_: int) -> Episode:
        c = self._config
        drive = Drive(
            teacher_share=c.teacher_share_decay**round_,
            exploration_std=c.exploration_std,
            max_steps=c.max_steps,
            steps_after_success=c.steps_after_success,
        )
        seed = training_seed(c.seed, self._episodes_done)
        self._episodes_done += 1
        return collect(
            self._scene, self._backgrounds, self._teacher, student, drive, c.image_size, seed
        )

    def _make_learner(self, task: Task, joints: Normalizer) -> StudentLearner:
        c = self._config
        sizes = StudentNetConfig(
            image_size=c.image_size,
            frame_stack=c.frame_stack,
            joints=len(task.spec.proprioception),
            actions=task.spec.action_size,
        )
        return StudentLearner(
            StudentNet(sizes),
            joints,
            Normalizer.fit(self._dataset.states, _STD_FLOOR),
            steps=c.iterations * c.updates,
            learning_rate=c.learning_rate,
            state_weight=c.state_weight,
            average_decay=c.average_decay,
        )


def _noise_backgrounds(count: int) -> list[Background]:
    """``noise`` only: photographs are what the student is measured on."""
    backgrounds = [make_background("noise") for _ in range(count)]
    return [background for background in backgrounds if background]


def score(policy: StudentPolicy, scene: Scene) -> dict[str, EpisodeResults]:
    """Held-out episodes, by mask source."""
    return {
        name: evaluate(policy, scene, make_mask_source(name), EVALUATION_SEEDS)
        for name in MASK_SOURCES
    }
