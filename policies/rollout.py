"""Episodes in simulated environments, in process: the ROS path is measured by the recorder.

There is one loop, :func:`rollout`; a :class:`Driver` says what acts in it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from torch import Tensor

from policies.base import Observation, Policy
from policies.episode import Cell, Episode, EpisodeRecord
from sim_bridge.envs.env import EnvConfig
from sim_bridge.envs.env import Observation as Observations
from sim_bridge.envs.vector import begin, borrowed, task_spec_of
from sim_bridge.scenes.scene import Scene
from sim_bridge.task import Task


class Driver(Protocol):
    """What acts in the copies of a vector. Where a copy is, is its place: its index."""

    def begin(self, place: int, episode: Episode) -> None:
        """An episode begins there: earlier observations do not count any more."""
        ...

    def act(self, observations: Observations, places: Sequence[int]) -> np.ndarray:
        """One control step.

        :param observations: of all copies, [N, ...] each.
        :param places: where an episode is running.
        :return: float [N, A] in [-1, 1]; of other places nothing is used.
        """
        ...


def rollout(
    driver: Driver, envs: VectorEnv, episodes: Iterable[Episode]
) -> Iterator[tuple[int, EpisodeRecord]]:
    """Run episodes side by side; as soon as one ends, the next begins in its place.

    Each ends with its first success or at the task's limit. What the copies did before is lost.

    :return: place and record of each episode that has ended.
    :raises SimulationError: an action cannot be used, or a worker died.
    """
    spec, count = task_spec_of(envs), envs.num_envs
    waiting = iter(episodes)
    running: dict[int, _Running] = {}
    observations: Observations = {}
    while True:
        seeds: list[int | None] = [None] * count
        for place in sorted(set(range(count)) - running.keys()):
            if (episode := next(waiting, None)) is None:
                break
            running[place] = _Running(episode)
            seeds[place] = episode.seed
            driver.begin(place, episode)
        if not running:
            return
        if any(seed is not None for seed in seeds):
            # Where there is no episode at all, one begins all the same: every copy will step.
            idle = None if observations else next(seed for seed in seeds if seed is not None)
            observations, _ = begin(envs, [idle if seed is None else seed for seed in seeds])
        observations, rewards, terminated, truncated, infos = envs.step(
            driver.act(observations, list(running))
        )
        for place, run in list(running.items()):
            run.steps += 1
            run.episode_return += float(rewards[place])
            success = bool(infos["success"][place])
            if success or terminated[place] or truncated[place]:
                del running[place]
                yield place, run.record(success if spec.tells_success else None)


@dataclass
class _Running:
    """An episode on its way."""

    episode: Episode
    steps: int = 0
    episode_return: float = 0.0

    def record(self, success: bool | None) -> EpisodeRecord:
        seed, cell = self.episode.seed, self.episode.cell
        return EpisodeRecord(seed, success, self.steps, self.episode_return, cell=cell)


class PolicyDriver:
    """A policy, copied for each of ``places``: it remembers frames."""

    def __init__(self, policy: Policy, places: int) -> None:
        self._policies = [copy.deepcopy(policy) for _ in range(places)]

    def begin(self, place: int, episode: Episode) -> None:
        self._policies[place].reset()

    def act(self, observations: Observations, places: Sequence[int]) -> np.ndarray:
        """From ``rgb`` at the size of the policy's camera, and ``joints``."""
        return in_places(
            len(self._policies),
            {
                place: self._policies[place].act(
                    Observation(observations["rgb"][place], observations["joints"][place])
                )
                for place in places
            },
        )


class StateDriver:
    """A teacher. :param act: state, float64 [D], to action, float [A]."""

    def __init__(self, act: Callable[[np.ndarray], np.ndarray]) -> None:
        self._act = act

    def begin(self, place: int, episode: Episode) -> None:
        """Nothing to do: a teacher has no memory."""

    def act(self, observations: Observations, places: Sequence[int]) -> np.ndarray:
        """From ``state``."""
        states = observations["state"]
        return in_places(len(states), {place: self._act(states[place]) for place in places})


class StackDriver:
    """An agent that takes all copies' frame stacks as one batch.

    :param act: uint8 [N, 3 * ``frame_stack``, S, S] to actions, float32 [N, A].
    :param pictures: ``rgb``, uint8 [N, H, W, 3], to the agent's pictures, uint8 [N, 3, S, S].
    """

    def __init__(
        self,
        act: Callable[[Tensor], Tensor],
        pictures: Callable[[np.ndarray], Tensor],
        frame_stack: int,
    ) -> None:
        self._act, self._pictures, self._length = act, pictures, frame_stack
        self._stacks: dict[int, Tensor] = {}

    def begin(self, place: int, episode: Episode) -> None:
        self._stacks.pop(place, None)

    def act(self, observations: Observations, places: Sequence[int]) -> np.ndarray:
        """From ``rgb``."""
        pictures = self._pictures(observations["rgb"][list(places)])
        for place, picture in zip(places, pictures, strict=True):
            before = self._stacks.get(place, picture.repeat(self._length, 1, 1))
            self._stacks[place] = torch.cat([before[3:], picture])
        actions = self._act(torch.stack([self._stacks[place] for place in places])).cpu().numpy()
        return in_places(len(observations["rgb"]), dict(zip(places, actions, strict=True)))


def in_places(count: int, actions: dict[int, np.ndarray]) -> np.ndarray:
    """Actions by place as one array, [``count``, A], zero elsewhere."""
    some = next(iter(actions.values()))
    together = np.zeros((count, *np.shape(some)), np.asarray(some).dtype)
    for place, action in actions.items():
        together[place] = action
    return together


@dataclass(frozen=True)
class EpisodeResults:
    """Results of several episodes, in the order of their seeds."""

    episodes: tuple[EpisodeRecord, ...]

    @property
    def tells_success(self) -> bool:
        """Whether the task does; others only have a return."""
        return any(episode.success is not None for episode in self.episodes)

    @property
    def success_rate(self) -> float:
        """Share of successful episodes in [0, 1]; NaN where there is none."""
        return _mean(float(bool(episode.success)) for episode in self.episodes)

    @property
    def mean_return(self) -> float:
        """Mean episode return; NaN where there is no episode."""
        return _mean(episode.episode_return for episode in self.episodes)


def evaluate(driver: Driver, envs: VectorEnv, seeds: Iterable[int]) -> EpisodeResults:
    """Run one episode a seed, see :func:`rollout`; the results are in the order of the seeds."""
    order = list(seeds)
    found = rollout(driver, envs, [Episode(Cell(), seed) for seed in order])
    records = {record.seed: record for _, record in found}
    return EpisodeResults(tuple(records[seed] for seed in order))


def evaluate_policy(
    policy: Policy, scene: Scene, masks: str, seeds: Iterable[int]
) -> EpisodeResults:
    """As :func:`evaluate`, in this process.

    :param scene: whose camera's picture has the size that the policy is for; it stays the
        caller's. :param masks: one of :data:`sim_bridge.scenes.MASKS`.
    """
    spec = policy.spec
    config = EnvConfig(
        masks=masks,
        size=spec.image_size,
        camera_size=spec.image_size,
        keys=("rgb", "joints"),
        camera=spec.camera,
        joint_names=spec.joint_names,
    )
    return evaluate(PolicyDriver(policy, 1), borrowed(scene, config), seeds)


def evaluate_states(
    act: Callable[[np.ndarray], np.ndarray], task: Task, seeds: Iterable[int]
) -> EpisodeResults:
    """As :func:`evaluate`, for a teacher, in this process: nothing is rendered.

    :param act: state, float64 [D], to action, float [A]. :param task: it stays the caller's.
    """
    envs = borrowed(Scene(task), EnvConfig(keys=("state",)))
    return evaluate(StateDriver(act), envs, seeds)


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return fmean(numbers) if numbers else float("nan")
