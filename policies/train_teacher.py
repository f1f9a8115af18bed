"""Trains a state teacher to imitate an expert, by DAgger (Ross et al. 2011, arXiv 1011.0686).

Cloning the expert's own episodes is not enough: the student drifts to states that the expert
never visits. DAgger lets the student drive, asks the expert what it would have done in those
states, and trains on all of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from policies.base import PolicySpec
from policies.checkpoint import TrainingRecord
from policies.evaluation import evaluate_states
from policies.networks import StateNet, StateNetConfig
from policies.preprocessing import Normalizer
from policies.run_folder import RunFolder, command_line, package_version
from policies.seeds import EVALUATION_SEEDS, training_seed
from policies.teacher import ExpertTeacher, StateTeacher, Teacher
from samg_ros.parameters import documented, parameter, validate
from samg_ros.threads import single_thread
from sim_bridge.task import Task, make_task

_STATE_STD_FLOOR = 0.01  # in the state's units: rad, m


@documented
@dataclass(frozen=True)
class TeacherConfig:
    """What ``samg train teacher`` can be told."""

    expert: Path
    """file of the expert to imitate, a tanh MLP as .npz"""
    seed: int = parameter(
        0, "seeds the network, the order of the data and the episodes", low=0, high=40_000
    )
    iterations: int = parameter(
        10, "rounds of driving and training; the expert drives in the first", low=1, high=10_000
    )
    episodes: int = parameter(20, "episodes a round", low=1, high=1000)
    updates: int = parameter(1500, "gradient steps a round", low=1, high=1_000_000)
    batch_size: int = parameter(256, "states a gradient step", low=1, high=100_000)
    learning_rate: float = parameter(
        1e-3, "Adam's, at the start; it falls to zero along a cosine", low=1e-8, high=1
    )
    hidden: int = parameter(128, "width of the two hidden layers", low=1, high=4096)
    exploration_std: float = parameter(
        0.1,
        "noise on the actions that are driven (not on labels), so that recoveries are seen",
        low=0,
        high=1,
    )
    runs: Path = parameter(Path("runs/train"), "where the run's folder is made")

    def __post_init__(self) -> None:
        validate(self)


def train_teacher(
    task_name: str, config: TeacherConfig, report: Callable[[int, str], None]
) -> Path:
    """Train a teacher, score it on held-out seeds, leave a run folder.

    :param report: called after every round with its number, from 1, and a line about it.
    :return: the checkpoint.
    :raises CheckpointError: the expert file cannot be used.
    :raises ConfigError: unknown task. :raises SimulationError: the simulator cannot start.
    """
    expert = ExpertTeacher(config.expert)
    run = RunFolder(config.runs, f"{task_name}_teacher", config)
    task = make_task(task_name)
    start = time.monotonic()
    try:
        with single_thread():
            teacher, losses = imitate(task, expert, config, report)
            duration_s = round(time.monotonic() - start, 1)
            results = evaluate_states(teacher.label, task, EVALUATION_SEEDS)
    finally:
        task.close()
    record = TrainingRecord(
        command=command_line("teacher", task_name, config),
        seed=config.seed,
        duration_s=duration_s,
        scores={"state": results.success_rate},
        version=package_version(),
    )
    path = run.path / f"{task_name}_teacher.safetensors"
    teacher.save(path, record)
    run.write_results({"record": asdict(record), "episodes": asdict(results)["episodes"]})
    run.write_curve(f"{task_name}: teacher", {"loss": losses})
    return path


def imitate(
    task: Task, expert: Teacher, config: TeacherConfig, report: Callable[[int, str], None]
) -> tuple[StateTeacher, list[float]]:
    """The DAgger loop.

    :return: the teacher, and the mean loss of every round.
    """
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    states, labels = _drive(task, expert, expert, config, 0, rng)
    net_config = StateNetConfig(states.shape[1], labels.shape[1], config.hidden)
    teacher = StateTeacher(
        PolicySpec.from_task(task.spec, image_size=256, frame_stack=1),
        Normalizer.fit(states, _STATE_STD_FLOOR),
        StateNet(net_config),
    )
    optimizer = torch.optim.Adam(teacher.network.parameters(), lr=config.learning_rate)
    total = config.iterations * config.updates
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
    losses: list[float] = []
    for iteration in range(1, config.iterations + 1):
        losses.append(_fit(teacher, states, labels, config, optimizer, schedule, rng))
        report(iteration, f"loss {losses[-1]:.5f}, {len(states)} states")
        if iteration < config.iterations:
            more = _drive(task, teacher, expert, config, iteration, rng)
            states, labels = np.concatenate([states, more[0]]), np.concatenate([labels, more[1]])
    return teacher, losses


def _drive(
    task: Task,
    driver: Teacher,
    expert: Teacher,
    config: TeacherConfig,
    iteration: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """One round of episodes: states float64 [N, S], the expert's actions float32 [N, A]."""
    states: list[np.ndarray] = []
    for episode in range(config.episodes):
        result = task.reset(training_seed(config.seed, iteration * config.episodes + episode))
        while not result.done:
            states.append(result.state)
            action = driver.label(result.state)
            result = task.step(action + rng.normal(0, config.exploration_std, action.shape))
    return np.stack(states), np.stack([expert.label(state) for state in states])


def _fit(
    teacher: StateTeacher,
    states: np.ndarray,
    labels: np.ndarray,
    config: TeacherConfig,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    rng: np.random.Generator,
) -> float:
    """Gradient steps on all data so far. :return: their mean loss."""
    inputs, targets = torch.from_numpy(teacher.state(states)), torch.from_numpy(labels)
    total = 0.0
    for _ in range(config.updates):
        batch = torch.from_numpy(rng.integers(len(inputs), size=config.batch_size))
        loss = F.mse_loss(teacher.network(inputs[batch]), targets[batch])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        total += loss.item()
    return total / config.updates
