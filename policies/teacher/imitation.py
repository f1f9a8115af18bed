"""Imitates an expert from the full state, by DAgger (Ross et al. 2011, arXiv 1011.0686).

Cloning the expert's own episodes is not enough: the student drifts to states that the expert
never visits. DAgger lets the student drive, asks the expert what it would have done in those
states, and trains on all of it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from policies.base import policy_spec
from policies.teacher.config import ImitationConfig
from policies.training import training_seed
from sim_bridge.experts.state import Normalizer, StateNet, StateNetConfig, StateTeacher, Teacher
from sim_bridge.task import CAMERA_SIZE, Task

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
