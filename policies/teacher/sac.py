"""Learns a teacher from a task's rewards, by soft actor-critic (Haarnoja et al. 2018, arXiv
1812.05905) of stable-baselines3, on the task's full state: the environment, and the training."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
import torch

from policies.base import policy_spec
from policies.rollout import evaluate_states
from policies.teacher.config import SacConfig
from policies.training import VALIDATION_SEEDS, training_seed
from policies.training.run import UNREADABLE, Kind, TrainingRun, load_state
from samg_ros.errors import CheckpointError, ConfigError
from sim_bridge.experts.state import Normalizer, StateNet, StateNetConfig, StateTeacher
from sim_bridge.task import CAMERA_SIZE, StepResult, Task, TaskSpec

if TYPE_CHECKING:
    from stable_baselines3 import SAC

KIND = Kind("teacher", 5, may_change=("sac.rounds", "sac.stop_at"))

_START_TEMPERATURE = "auto_0.1"  # learned from here; rewards are at most 2 a control step
_STEPS_AT_ONCE = 10  # driven, then learned: going back and forth costs time
_RANDOM_EPISODES = 4  # what the states' mean and spread are measured on
_STATE_STD_FLOOR = 0.1  # in the state's units; a touch that random driving never felt stays small
_MOST_TRANSITIONS = 1_000_000


Hint = Callable[[Any], float]
"""From a task's ``mujoco.MjData``: 0 where the reward is far, 1 where it is given."""

_HOPPER_STANDS = 0.6  # m of the torso over the foot, where the suite's reward begins


def hint_for(task_name: str) -> Hint:
    """:raises ConfigError: ``task_name`` has none."""
    try:
        return _HINTS[task_name]
    except KeyError:
        raise ConfigError(
            f"{task_name} has no hint beside its reward: leave --sac.hint at 0 "
            f"(there are hints for {', '.join(sorted(_HINTS))})"
        ) from None


def _hopper_height(data: Any) -> float:
    height = data.body("torso").xipos[2] - data.body("foot").xipos[2]
    return float(min(max(height / _HOPPER_STANDS, 0.0), 1.0))


_HINTS: dict[str, Hint] = {"hopper_hop": _hopper_height, "hopper_stand": _hopper_height}


class StateEnv(gymnasium.Env):
    """Episodes of ``task`` with the seeds of a training run, one after the other.

    An episode's end is a time limit, never a failure: it is reported as a truncation, so that the
    value after it counts. Rewards are those of :meth:`sim_bridge.task.Task.step`, and the hint.

    :param normalizer: of the states, before they are handed on.
    :param run_seed: the run's seed, which chooses the seeds of its episodes.
    :param config: which episodes begin near the reference configuration, what a hint weighs.
    :param episode: number of the first episode.
    :raises ConfigError: a hint is wanted and the task has none.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 (gymnasium's own declaration)

    def __init__(
        self,
        task: Task,
        normalizer: Normalizer,
        run_seed: int,
        config: SacConfig,
        episode: int = 0,
    ) -> None:
        self._task, self._normalizer = task, normalizer
        self._run_seed, self._episode = run_seed, episode
        self._reference_share, self._weight = config.reference_share, config.hint
        self._hint = hint_for(task.spec.name) if config.hint else None
        size = len(normalizer.mean)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1, 1, (task.spec.action_size,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin the run's next episode; ``seed`` is the trainer's own and is ignored."""
        result = self._begin(training_seed(self._run_seed, self._episode))
        self._episode += 1
        return self._normalizer(result.state), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """:param action: float32 [A] in [-1, 1]. :return: float32 [S], reward, flags, {}."""
        result = self._task.step(self._task.spec.action_to_command(action))
        reward = result.reward
        if self._hint:
            reward += self._weight * self._hint(self._task.data)  # type: ignore[attr-defined]
        return self._normalizer(result.state), reward, False, result.done, {}

    def _begin(self, seed: int) -> StepResult:
        if np.random.default_rng(seed).random() < self._reference_share:
            return self._task.reset_near_reference(seed)  # type: ignore[attr-defined]
        return self._task.reset(seed)


def learn(
    run: TrainingRun,
    make: Callable[[], Task],
    config: SacConfig,
    report: Callable[[int, str], None],
    start: Path | None = None,
) -> tuple[StateTeacher, list[float]]:
    """Train until ``config.rounds`` are done or ``config.stop_at`` is reached.

    The state is kept after every round, replay included.

    :param run: keeps it; an interrupted one is resumed, from its last round.
    :param make: builds the task; called twice, since validation must not disturb training.
    :param start: folder of a run whose networks are the start, and not those of the seed.
    :param report: called after every round with its number, from 1, and a line about it.
    :return: the best round's teacher, and every round's mean validation return.
    :raises CheckpointError: a file of the state, or ``start``, cannot be used.
    :raises ConfigError: stable-baselines3 is not installed.
    """
    with closing(make()) as training, closing(make()) as validation:
        state = run.state or {"returns": [], "best": {}}
        returns, best = state["returns"], state["best"]
        known = run.state or (load_state(start, KIND)["state"] if start else None)
        normalizer = _normalizer(known) if known else _measure(training, run.config.seed)
        model = _make_model(run, training, normalizer, config, len(returns))
        if start and known and not run.state:
            _take_networks(model, start / "state" / f"sac_{len(known['returns'])}.zip")
        seeds = VALIDATION_SEEDS[: config.evaluation_episodes]
        steps = config.episodes * training.spec.episode_steps
        while len(returns) < config.rounds and max(returns, default=-np.inf) < config.stop_at:
            model.learn(steps, reset_num_timesteps=False)
            teacher = as_teacher(model, normalizer, training.spec)
            returns.append(evaluate_states(teacher.label, validation, seeds).mean_return)
            if returns[-1] == max(returns):
                best = teacher.network.state_dict()
            done = len(returns)
            run.save(
                {"returns": returns, "best": best, "normalizer": asdict(normalizer)},
                {f"sac_{done}.zip": model.save, f"replay_{done}.pkl": model.save_replay_buffer},
            )
            scored = f"return {returns[-1]:.0f}, best {max(returns):.0f}"
            report(done, f"{done * steps} steps, {scored}")
        teacher = as_teacher(model, normalizer, training.spec)
        teacher.network.load_state_dict(best)
    return teacher, returns


def as_teacher(model: SAC, normalizer: Normalizer, spec: TaskSpec) -> StateTeacher:
    """The actor's mean action as a teacher; its weights are copied."""
    actor: Any = model.actor
    size, hidden = actor.latent_pi[0].in_features, actor.latent_pi[0].out_features
    network = StateNet(StateNetConfig(size, spec.action_size, hidden, "relu", True))
    layers = (actor.latent_pi[0], actor.latent_pi[2], actor.mu)
    with torch.no_grad():
        for ours, theirs in zip(list(network.body)[::2], layers, strict=True):
            ours.load_state_dict(theirs.state_dict())
    return StateTeacher(
        policy_spec(spec, image_size=CAMERA_SIZE, frame_stack=1), normalizer, network
    )


def _make_model(
    run: TrainingRun, task: Task, normalizer: Normalizer, config: SacConfig, done: int
) -> SAC:
    """A new one, or what the run kept after ``done`` rounds."""
    try:
        from stable_baselines3 import SAC
        from stable_baselines3.common.logger import Logger
    except ImportError as error:
        raise ConfigError(
            f"learning from rewards needs {error.name}: pip install 'samg_ros[train]'"
        ) from error
    env = StateEnv(task, normalizer, run.config.seed, config, done * config.episodes)
    # A resumed run must not draw the same noise again.
    seed = int(np.random.SeedSequence([run.config.seed, done]).generate_state(1)[0])
    if run.state:
        model = _read_model(run, env, seed, done)
    else:
        steps = config.rounds * config.episodes * task.spec.episode_steps
        model = SAC(
            "MlpPolicy",
            env,
            learning_rate=config.learning_rate,
            buffer_size=min(steps, _MOST_TRANSITIONS),
            learning_starts=config.warm_up,
            train_freq=_STEPS_AT_ONCE,
            gradient_steps=_STEPS_AT_ONCE,
            batch_size=config.batch_size,
            tau=config.target_tau,
            gamma=config.discount,
            n_steps=config.n_step,
            ent_coef=_START_TEMPERATURE,
            # The fused Adam is one call instead of ten a tensor: faster on one core.
            policy_kwargs={"net_arch": [config.hidden] * 2, "optimizer_kwargs": {"fused": True}},
            seed=seed,
            device="cpu",
        )
    # Its own default logs nothing either, but leaves an empty folder in /tmp.
    model.set_logger(Logger(folder=None, output_formats=[]))
    return model


def _read_model(run: TrainingRun, env: StateEnv, seed: int, done: int) -> SAC:
    """Model and replay as stable-baselines3 keeps them, which are pickles: a run's folder is as
    trustworthy as whoever made it."""
    from stable_baselines3 import SAC

    options: dict[str, Any] = {"device": "cpu", "seed": seed, "replay_buffer_class": None}
    model = run.read(f"sac_{done}.zip", lambda path: SAC.load(path, env, **options))
    run.read(f"replay_{done}.pkl", model.load_replay_buffer)
    buffer = model.replay_buffer
    buffer.timeouts[buffer.pos - 1] = True  # the episode of the last step does not go on
    return model


def _take_networks(model: SAC, file: Path) -> None:
    try:
        model.set_parameters(str(file), device="cpu")  # weights alone: nothing is unpickled
    except UNREADABLE as error:
        raise CheckpointError(f"{file}: of another task or network ({error})") from error


def _normalizer(state: dict[str, Any]) -> Normalizer:
    return Normalizer(**{name: tuple(values) for name, values in state["normalizer"].items()})


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
