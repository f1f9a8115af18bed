"""Learns a teacher from a task's rewards, by soft actor-critic (Haarnoja et al. 2018, arXiv
1812.05905) of stable-baselines3, on the task's full state."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from policies.base import policy_spec
from policies.rollout import evaluate_states
from policies.teacher.config import SacConfig
from policies.teacher.store import SacProgress, SacStore, StoredSac
from policies.training import VALIDATION_SEEDS, training_seed
from samg_ros.errors import ConfigError
from sim_bridge.experts.state import Normalizer, StateNet, StateNetConfig, StateTeacher
from sim_bridge.task import CAMERA_SIZE, Task, TaskSpec

if TYPE_CHECKING:
    from policies.teacher.fast_sac import FastSAC


_START_TEMPERATURE = "auto_0.1"  # learned from here; rewards are at most 2 a control step
_STEPS_AT_ONCE = 10  # driven, then learned: going back and forth costs time
_RANDOM_EPISODES = 4  # what the states' mean and spread are measured on
_STATE_STD_FLOOR = 0.1  # in the state's units; a touch that random driving never felt stays small
_MOST_TRANSITIONS = 1_000_000


def learn(
    make: Callable[[], Task],
    config: SacConfig,
    seed: int,
    store: SacStore,
    report: Callable[[int, str], None],
    *,
    resume: bool = False,
    start: StoredSac | None = None,
) -> tuple[StateTeacher, SacProgress]:
    """Train until ``config.rounds`` are done or ``config.stop_at`` is reached.

    The state is stored after every round. Going on from it gives what a run that was never
    broken off gives, on the same machine.

    :param make: builds the task; called twice, since validation must not disturb training.
    :param store: where the state is kept. :param resume: go on with the state that lies there.
    :param start: the networks to begin with, where not those of the seed.
    :param report: called after every round with its number, from 1, and a line about it.
    :return: the best round's teacher, and what the rounds scored.
    :raises CheckpointError: there is no state to go on with.
    :raises ConfigError: stable-baselines3 is not installed.
    """
    stored = store.load() if resume else None
    progress = stored.progress if stored else SacProgress()
    before, begun = progress.duration_s, time.monotonic()
    training, validation = make(), make()
    try:
        known = stored or start
        normalizer = known.normalizer if known else _measure(training, seed)
        episode = len(progress.returns) * config.episodes
        rounds = max(config.rounds, len(progress.returns))
        model = _make_model(training, normalizer, replace(config, rounds=rounds), seed, episode)
        if stored:
            stored.restore(model)
        elif start:
            start.restore_networks(model)
        steps = config.episodes * training.spec.episode_steps
        seeds = VALIDATION_SEEDS[: config.evaluation_episodes]
        while not _finished(progress, config):
            model.learn(steps, reset_num_timesteps=False)
            teacher = _as_teacher(model, normalizer, training.spec, config)
            score = evaluate_states(teacher.label, validation, seeds).mean_return
            progress.add(score, teacher.network.state_dict())
            progress.duration_s = before + time.monotonic() - begun
            store.save(model, progress, normalizer)
            done = len(progress.returns)
            report(done, f"{done * steps} steps, return {score:.0f}, best {progress.best:.0f}")
        teacher = _as_teacher(model, normalizer, training.spec, config)
        teacher.network.load_state_dict(progress.weights)
    finally:
        training.close()
        validation.close()
    return teacher, progress


def _finished(progress: SacProgress, config: SacConfig) -> bool:
    return len(progress.returns) >= config.rounds or progress.best >= config.stop_at


def _measure(task: Task, seed: int) -> Normalizer:
    """Mean and spread under random actions: unnormalised, velocities of tens drown the rest."""
    rng = np.random.default_rng(seed)
    states = []
    for episode in range(_RANDOM_EPISODES):
        result = task.reset(training_seed(seed, episode))
        while not result.done:
            states.append(result.state)
            action = rng.uniform(-1, 1, task.spec.action_size)
            result = task.step(task.spec.action_to_command(action))
    return Normalizer.fit(np.stack(states), _STATE_STD_FLOOR)


def _make_model(
    task: Task, normalizer: Normalizer, config: SacConfig, seed: int, episode: int
) -> FastSAC:
    try:
        from policies.teacher.env import StateEnv
        from policies.teacher.fast_sac import FastSAC
    except ImportError as error:
        raise ConfigError(
            f"learning from rewards needs {error.name}: pip install 'samg_ros[train]'"
        ) from error
    steps = config.rounds * config.episodes * task.spec.episode_steps
    return FastSAC(
        "MlpPolicy",
        StateEnv(task, normalizer, seed, config, episode),
        learning_rate=config.learning_rate,
        buffer_size=min(steps, _MOST_TRANSITIONS),
        learning_starts=config.warm_up,
        train_freq=_STEPS_AT_ONCE,
        gradient_steps=_STEPS_AT_ONCE,
        batch_size=config.batch_size,
        tau=config.target_tau,
        gamma=config.discount,
        n_steps=config.n_step,
        average_decay=config.average_decay,
        ent_coef=_START_TEMPERATURE,
        # The fused Adam is one call instead of ten a tensor: a tenth of the time on one core.
        policy_kwargs={"net_arch": [config.hidden] * 2, "optimizer_kwargs": {"fused": True}},
        seed=seed,
        device="cpu",
    )


def _as_teacher(
    model: FastSAC, normalizer: Normalizer, spec: TaskSpec, config: SacConfig
) -> StateTeacher:
    """The averaged actor's mean as a teacher; its weights are copied."""
    size = len(normalizer.mean)
    network = StateNet(StateNetConfig(size, spec.action_size, config.hidden, "relu", True))
    ours = network.state_dict()
    for layer, name in (("body.0", "latent_pi.0"), ("body.2", "latent_pi.2"), ("body.4", "mu")):
        for kind in ("weight", "bias"):
            ours[f"{layer}.{kind}"] = model.average[f"{name}.{kind}"].clone()
    network.load_state_dict(ours)
    return StateTeacher(
        policy_spec(spec, image_size=CAMERA_SIZE, frame_stack=1), normalizer, network
    )
