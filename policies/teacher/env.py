"""A task as stable-baselines3 wants it: a gymnasium environment of states."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from policies.teacher.config import SacConfig
from policies.training import training_seed
from samg_ros.errors import ConfigError
from sim_bridge.experts.state import Normalizer
from sim_bridge.task import StepResult, Task

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

    An episode's end is a time limit, never a failure: it is told as a truncation, so that the
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
        """Begin the run's next episode; ``seed`` is the trainer's own and is not heeded."""
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
