"""Trains a state teacher, from an expert or from rewards, scores it, leaves a run folder."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from policies.base import policy_spec
from policies.rollout import evaluate_states
from policies.teacher.config import ImitationConfig, SacConfig, TeacherConfig
from policies.teacher.sac import KIND, hint_for, learn
from policies.training import EVALUATION_SEEDS, training_seed
from policies.training.run import TrainingRun, scores_of
from samg_ros.errors import ConfigError
from samg_ros.machine import single_thread
from sim_bridge.experts.state import (
    ExpertTeacher,
    Normalizer,
    StateNet,
    StateNetConfig,
    StateTeacher,
    Teacher,
)
from sim_bridge.task import CAMERA_SIZE, Task, make_task, tasks

_STATE_STD_FLOOR = 0.01  # in the state's units: rad, m


def imitate(
    task: Task,
    expert: Teacher,
    config: ImitationConfig,
    seed: int,
    report: Callable[[int, str], None],
) -> tuple[StateTeacher, list[float]]:
    """The DAgger loop.

    :return: the teacher, and the mean loss of every round.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    states, labels = _drive(task, expert, expert, config, seed, 0, rng)
    net_config = StateNetConfig(states.shape[1], labels.shape[1], config.hidden)
    teacher = StateTeacher(
        policy_spec(task.spec, image_size=CAMERA_SIZE, frame_stack=1),
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
            more = _drive(task, teacher, expert, config, seed, iteration, rng)
            states, labels = np.concatenate([states, more[0]]), np.concatenate([labels, more[1]])
    return teacher, losses


def _drive(
    task: Task,
    driver: Teacher,
    expert: Teacher,
    config: ImitationConfig,
    seed: int,
    iteration: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """One round of episodes: states float64 [N, S], the expert's actions float32 [N, A]."""
    states: list[np.ndarray] = []
    for episode in range(config.episodes):
        result = task.reset(training_seed(seed, iteration * config.episodes + episode))
        while not result.done:
            states.append(result.state)
            action = driver.label(result.state)
            action = action + rng.normal(0, config.exploration_std, action.shape)
            result = task.step(task.spec.action_to_command(action))
    return np.stack(states), np.stack([expert.label(state) for state in states])


def _fit(
    teacher: StateTeacher,
    states: np.ndarray,
    labels: np.ndarray,
    config: ImitationConfig,
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


_NEEDS_EXPERT = "adroit_"  # contacts of a hand: not found from rewards in any time one would wait


def train_teacher(
    task_name: str, config: TeacherConfig, report: Callable[[int, str], None]
) -> Path:
    """Train a teacher, or resume ``config.resume``; score it on held-out seeds.

    :param report: called after every round with its number, from 1, and a line about it.
    :return: the checkpoint, in the run's folder.
    :raises CheckpointError: the expert file, or the state to resume, cannot be used.
    :raises ConfigError: unknown task, one that needs an expert and has none, or one without what
        its configuration asks for.
    :raises SimulationError: the simulator cannot start.
    """
    tasks.get(task_name)  # an unknown name is refused before anything is started
    run = TrainingRun(KIND, task_name, config, f"{task_name}_teacher")
    expert = ExpertTeacher(config.expert) if config.expert else None
    if expert is None:
        _check_rewards(task_name, config.sac)

    def make():
        return make_task(task_name)

    # Last, so that a run that cannot begin leaves no folder.
    with run, single_thread():
        if expert:
            with closing(make()) as task:
                teacher, losses = imitate(task, expert, config.imitation, config.seed, report)
            xlabel, curves = "DAgger iteration", {"loss": losses}
        else:
            teacher, returns = learn(run, make, config.sac, report, config.start_from)
            xlabel, curves = "round", {"validation return": returns}
        with closing(make()) as task:
            held_out = evaluate_states(teacher.label, task, EVALUATION_SEEDS)
        path = run.path / f"{task_name}_teacher.safetensors"
        record = run.record(scores_of({"state": held_out}))
        teacher.save(path, record)
        run.finish(record, asdict(held_out), curves, xlabel=xlabel)
    return path


def _check_rewards(task_name: str, config: SacConfig) -> None:
    """Whether the task can be learned so. :raises ConfigError: it cannot."""
    if task_name.startswith(_NEEDS_EXPERT):
        raise ConfigError(
            f"{task_name} is learned from an expert: give --expert FILE, a tanh MLP as .npz with "
            f"the arrays {', '.join(ExpertTeacher.KEYS)} (for instance the policy that the DAPG "
            "authors published for the task); the teacher that ships needs no such file"
        )
    if config.hint:
        hint_for(task_name)
    if config.reference_share:
        with closing(make_task(task_name)) as task:
            begins_near = hasattr(task, "reset_near_reference")
        if not begins_near:
            raise ConfigError(
                f"{task_name} cannot begin near a reference configuration, only tasks of "
                "DMControl can: leave --sac.reference-share at 0"
            )
