"""DrQ-v2's loop: several environments act at once, and the agent learns while they are at it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from policies.drqv2.agent import METRICS, DrQV2Agent
from policies.drqv2.config import DrQV2Config
from policies.drqv2.replay import Replay
from policies.pictures import BatchPictures
from policies.training import training_seed
from samg_ros.errors import ConfigError
from sim_bridge.scenes.vector import CopyState, VectorScenes


@dataclass(frozen=True)
class EpisodeEnd:
    """A training episode that is over; ``success`` is None for tasks that only have a return."""

    episode_return: float
    success: bool | None


class DrQV2Training:
    """Agent, replay and environments.

    :param scenes: as many as ``config.environments``; they belong to the caller.
    :param pictures: makes the agent's pictures out of theirs.
    :raises ConfigError: the replay is too small, for an episode or for the device.
    """

    def __init__(
        self,
        scenes: VectorScenes,
        pictures: BatchPictures,
        config: DrQV2Config,
        device: torch.device,
    ) -> None:
        spec, count = scenes.spec, len(scenes)
        self._scenes, self._pictures, self._config = scenes, pictures, config
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
        self._returns, self._over = [0.0] * count, [True] * count
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
        """One control step of every environment, or a reset where its episode is over.

        :return: the episodes that this step ended.
        """
        begins = list(self._over)
        seeds = [self._next_seed() if begin else None for begin in begins]
        actions = self._actions(begins)
        steps = [
            None if begin else a for begin, a in zip(begins, actions.cpu().numpy(), strict=True)
        ]
        self._scenes.start(actions=steps, seeds=seeds)
        self._learn()
        states = [state for state in self._scenes.finish() if state is not None]
        self.replay.add(
            self._pictures(self._scenes.pictures),
            actions,
            np.array([state.result.reward for state in states]),
            np.array([state.result.step for state in states]),
        )
        return self._tally(states, begins)

    def begin_anew(self) -> None:
        """Somebody else used the environments: their next step begins new episodes."""
        self._over = [True] * len(self._over)

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
        """What a run that goes on has to know, but for the replay's rows. It begins new episodes,
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

    def _next_seed(self) -> int:
        self.episodes += 1
        return training_seed(self._config.seed, self.episodes - 1)

    def _actions(self, begins: list[bool]) -> Tensor:
        """float32 [N, A]; zeros where an episode begins: no action leads to its first frame."""
        if self.steps < self._seed_steps or all(begins):
            actions = self.agent.random_actions(len(begins))
        else:
            stddev = self._config.stddev(self.steps)
            actions = self.agent.explore(self.replay.latest(), stddev)
        return actions.masked_fill(torch.tensor(begins, device=actions.device)[:, None], 0.0)

    def _learn(self) -> None:
        """The updates that the steps so far entitle to."""
        config = self._config
        entitled = max(0, self.steps - self._seed_steps) // config.update_every
        while self.updates < entitled and self.replay.ready:
            batch = self.replay.sample(config.batch_size, self._rng)
            self._sums += self.agent.update(batch, config.stddev(self.steps))
            self._summed += 1
            self.updates += 1

    def _tally(self, states: list[CopyState], begins: list[bool]) -> list[EpisodeEnd]:
        ends = []
        for index, (state, begin) in enumerate(zip(states, begins, strict=True)):
            result = state.result
            self._over[index] = result.done
            if begin:
                self._returns[index] = 0.0
                continue
            self.steps += 1
            self._returns[index] += result.reward
            if result.done:
                ends.append(EpisodeEnd(self._returns[index], result.success))
        return ends


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
