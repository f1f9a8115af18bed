"""DrQ-v2's loop: several environments act at once, and the agent learns while they are at it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from torch import Tensor

from policies.drqv2.agent import METRICS, DrQV2Agent
from policies.drqv2.config import DrQV2Config
from policies.drqv2.replay import Replay
from policies.pictures import BatchPictures
from policies.training import training_seed
from samg_ros.errors import ConfigError
from sim_bridge.envs.vector import begin, task_spec_of


@dataclass(frozen=True)
class EpisodeEnd:
    """A training episode that is over; ``success`` is None for tasks that only have a return."""

    episode_return: float
    success: bool | None


class DrQV2Training:
    """Agent, replay and environments.

    :param envs: in worker processes, as many as ``config.environments``, whose episodes end at
        the task's limit alone; they belong to the caller.
    :param pictures: makes the agent's pictures out of theirs.
    :raises ConfigError: the replay is too small, for an episode or for the device.
    """

    def __init__(
        self,
        envs: VectorEnv,
        pictures: BatchPictures,
        config: DrQV2Config,
        device: torch.device,
    ) -> None:
        spec, count = task_spec_of(envs), envs.num_envs
        self._envs, self._pictures, self._config = envs, pictures, config
        self._action_size, self._tells_success = spec.action_size, spec.tells_success
        self._repeat = spec.action_repeat
        self._seed_steps = config.seed_frames // self._repeat
        self.agent = DrQV2Agent(config, spec.action_size, device)
        self.replay = Replay(
            capacity=_capacity(config, spec.episode_steps, self._repeat, count),
            environments=count,
            image_size=config.image_size,
            action_size=spec.action_size,
            frame_stack=config.frame_stack,
            n_step=config.n_step,
            discount=config.discount,
            device=device,
        )
        self.steps = self.updates = self.episodes = 0
        """Control steps of all environments together, updates, and episodes begun, so far."""
        self._returns, self._ages = np.zeros(count), np.zeros(count, int)
        self._over = np.ones(count, bool)
        self._rng = np.random.default_rng(config.seed)
        self._sums = torch.zeros(len(METRICS), device=device)
        self._summed = 0

    @property
    def frames(self) -> int:
        """Simulator steps so far, of all environments together."""
        return self.steps * self._repeat

    @property
    def finished(self) -> bool:
        """Whether ``config.frames`` are done."""
        return self.frames >= self._config.frames

    def advance(self) -> list[EpisodeEnd]:
        """One control step of every environment, or the beginning of all their next episodes.

        :return: the episodes that this step ended.
        """
        if self._over.all():
            self._begin()
            return []
        actions = self._actions()
        self._envs.step_async(actions.cpu().numpy())  # type: ignore[attr-defined]
        self._learn()
        observations, rewards, _, ended, infos = self._envs.step_wait()  # type: ignore[attr-defined]
        running = ~self._over
        self.steps += int(running.sum())
        self._ages += running
        self._returns += rewards
        self._over |= ended
        self._add(observations, actions, rewards)
        return [
            EpisodeEnd(
                float(self._returns[index]),
                bool(infos["success"][index]) if self._tells_success else None,
            )
            for index in np.flatnonzero(running & ended)
        ]

    def begin_anew(self) -> None:
        """Somebody else used the environments: the next step begins new episodes."""
        self._over[:] = True

    def losses(self) -> dict[str, float]:
        """Means of the updates since the last call; empty without any.

        :raises ConfigError: the training has diverged.
        """
        if not self._summed:
            return {}
        means = dict(zip(METRICS, (self._sums / self._summed).tolist(), strict=True))
        self._sums.zero_()
        self._summed = 0
        if not all(math.isfinite(value) for value in means.values()):
            raise ConfigError(
                f"the training has diverged at frame {self.frames} ({means}): try a lower "
                "learning_rate or another seed"
            )
        return means

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run has to know, but for the replay's rows. It begins new episodes,
        and draws other samples."""
        counts = {name: getattr(self, name) for name in ("steps", "updates", "episodes")}
        return {**counts, "agent": self.agent.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave."""
        self.steps, self.updates, self.episodes = (
            state[name] for name in ("steps", "updates", "episodes")
        )
        self.agent.load_state_dict(state["agent"])
        self._rng = np.random.default_rng([self._config.seed, self.steps])

    def _begin(self) -> None:
        count = len(self._over)
        seeds = [training_seed(self._config.seed, self.episodes + index) for index in range(count)]
        self.episodes += count
        observations, _ = begin(self._envs, seeds)
        self._returns[:], self._ages[:], self._over[:] = 0, 0, False
        # No action leads to an episode's first frame.
        self._add(observations, torch.zeros(count, self._action_size), np.zeros(count))

    def _add(
        self, observations: dict[str, np.ndarray], actions: Tensor, rewards: np.ndarray
    ) -> None:
        self.replay.add(self._pictures(observations["rgb"]), actions, rewards, self._ages)

    def _actions(self) -> Tensor:
        """float32 [N, A]."""
        if self.steps < self._seed_steps:
            return self.agent.random_actions(len(self._over))
        return self.agent.explore(self.replay.latest(), self._config.stddev(self.steps))

    def _learn(self) -> None:
        """The updates that the steps so far entitle to."""
        config = self._config
        entitled = max(0, self.steps - self._seed_steps) // config.update_every
        while self.updates < entitled and self.replay.ready:
            batch = self.replay.sample(config.batch_size, self._rng)
            self._sums += self.agent.update(batch, config.stddev(self.steps))
            self._summed += 1
            self.updates += 1


def _capacity(config: DrQV2Config, episode_steps: int, repeat: int, environments: int) -> int:
    """Frames that the replay holds: as many as asked for, or as the run can fill."""
    if episode_steps <= config.n_step:
        raise ConfigError(
            f"an episode has {episode_steps} control steps: n_step must be less, "
            f"it is {config.n_step}"
        )
    least = (episode_steps + config.n_step + config.frame_stack) * environments
    if config.replay_capacity < least:
        raise ConfigError(
            f"replay_capacity must be at least {least}: an episode of each of the "
            f"{environments} environments; it is {config.replay_capacity}"
        )
    steps = math.ceil(config.frames / repeat / environments)
    rows = steps + math.ceil(steps / episode_steps) + 1  # each episode has one frame more
    return max(least, min(config.replay_capacity, rows * environments))
