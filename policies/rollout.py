"""Episodes of a policy in a scene, in process: the ROS path is measured by the recorder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from policies.base import Observation, Policy
from policies.episode import EpisodeRecord
from policies.pictures import BatchPictures
from sim_bridge.scenes.scene import Scene
from sim_bridge.scenes.vector import VectorScenes
from sim_bridge.scenes.views import MaskSource
from sim_bridge.task import StepResult, Task


@dataclass(frozen=True)
class EpisodeResults:
    """Results of several episodes, in the order of their seeds."""

    episodes: tuple[EpisodeRecord, ...]

    @property
    def success_rate(self) -> float:
        """Share of successful episodes in [0, 1]; NaN where there is none."""
        return _mean(float(bool(episode.success)) for episode in self.episodes)

    @property
    def mean_return(self) -> float:
        """Mean episode return; NaN where there is no episode."""
        return _mean(episode.episode_return for episode in self.episodes)


def evaluate(
    policy: Policy, scene: Scene, mask_source: MaskSource, seeds: Iterable[int]
) -> EpisodeResults:
    """Run one episode a seed; each ends with its first success or at the task's limit.

    :raises SimulationError: the policy's action cannot be used by the scene's task.
    """
    return EpisodeResults(tuple(_episode(policy, scene, mask_source, seed) for seed in seeds))


def evaluate_states(
    act: Callable[[np.ndarray], np.ndarray], task: Task, seeds: Iterable[int]
) -> EpisodeResults:
    """As :func:`evaluate`, for a teacher: nothing is rendered.

    :param act: state, float64 [S], to action, float [A].
    """

    def episode(seed: int) -> EpisodeRecord:
        return _run(seed, task.reset(seed), step, lambda result: act(result.state))

    def step(action: np.ndarray) -> StepResult:
        return task.step(task.spec.action_to_command(action))

    return EpisodeResults(tuple(episode(seed) for seed in seeds))


def robot_joints(task: Task) -> np.ndarray:
    """:return: float32 [J], positions of ``spec.proprioception`` in rad or m."""
    index = [task.spec.joint_names.index(name) for name in task.spec.proprioception]
    return task.joint_state().position[index].astype(np.float32)


def _episode(policy: Policy, scene: Scene, mask_source: MaskSource, seed: int) -> EpisodeRecord:
    def act(_: StepResult) -> np.ndarray:
        image = mask_source(scene.observe(policy.spec.camera))
        return policy.act(Observation(image, robot_joints(scene.task)))

    policy.reset()
    mask_source.reset(seed)
    return _run(seed, scene.reset(seed), scene.act, act)


def _run(
    seed: int,
    result: StepResult,
    step: Callable[[np.ndarray], StepResult],
    act: Callable[[StepResult], np.ndarray],
) -> EpisodeRecord:
    episode_return = 0.0
    while not (result.done or result.success):
        result = step(act(result))
        episode_return += result.reward
    return EpisodeRecord(seed, result.success, result.step, episode_return)


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return fmean(numbers) if numbers else float("nan")


def evaluate_batch(
    act: Callable[[Tensor], Tensor],
    scenes: VectorScenes,
    pictures: BatchPictures,
    frame_stack: int,
    seeds: Iterable[int],
) -> EpisodeResults:
    """Run one episode a seed; each ends with its first success or at the task's limit.

    The scenes' own episodes are lost by it.

    :param act: frame stacks, uint8 [N, 3 * ``frame_stack``, S, S], to actions, float32 [N, A].
    :raises SimulationError: see :class:`VectorScenes`.
    """
    left, results = list(seeds), []
    while left:
        now, left = left[: len(scenes)], left[len(scenes) :]
        results += _together(act, scenes, pictures, frame_stack, now)
    return EpisodeResults(tuple(results))


def _together(
    act: Callable[[Tensor], Tensor],
    scenes: VectorScenes,
    pictures: BatchPictures,
    frame_stack: int,
    seeds: Sequence[int],
) -> list[EpisodeRecord]:
    """At most as many episodes as there are scenes, side by side, in the first of them."""
    count = len(seeds)
    done: dict[int, EpisodeRecord] = {}
    returns = [0.0] * count
    idle = [None] * (len(scenes) - count)
    scenes.reset([*seeds, *idle])
    stack = pictures(scenes.pictures[:count]).repeat(1, frame_stack, 1, 1)
    while len(done) < count:
        actions = act(stack).cpu().numpy()
        states = scenes.step([*(None if i in done else actions[i] for i in range(count)), *idle])
        for index, state in enumerate(states):
            if state is None:
                continue
            result = state.result
            returns[index] += result.reward
            if result.done or result.success:
                record = EpisodeRecord(seeds[index], result.success, result.step, returns[index])
                done[index] = record
        stack = torch.cat([stack[:, 3:], pictures(scenes.pictures[:count])], 1)
    return [done[index] for index in range(count)]
