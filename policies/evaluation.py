"""Episodes of a policy in a scene, in process: the ROS path is measured by the recorder."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from policies.base import Observation, Policy
from policies.mask_source import MaskSource
from sim_bridge.scene import Scene
from sim_bridge.task import StepResult, Task


@dataclass(frozen=True)
class EpisodeResult:
    """One episode. ``success`` is None for tasks that only have a return; ``success_step`` is the
    control step of the success, None without one; ``episode_return`` sums rewards to the end of
    the episode, which success ends."""

    seed: int
    success: bool | None
    success_step: int | None
    episode_return: float


@dataclass(frozen=True)
class EpisodeResults:
    """Results of several episodes, in the order of their seeds."""

    episodes: tuple[EpisodeResult, ...]

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

    def episode(seed: int) -> EpisodeResult:
        return _run(seed, task.reset(seed), task.step, lambda result: act(result.state))

    return EpisodeResults(tuple(episode(seed) for seed in seeds))


def robot_joints(task: Task) -> np.ndarray:
    """:return: float32 [J], positions of ``spec.proprioception`` in rad or m."""
    index = [task.spec.joint_names.index(name) for name in task.spec.proprioception]
    return task.joint_state().position[index].astype(np.float32)


def _episode(policy: Policy, scene: Scene, mask_source: MaskSource, seed: int) -> EpisodeResult:
    def act(_: StepResult) -> np.ndarray:
        image = mask_source(scene.observe(policy.spec.camera))
        return policy.act(Observation(image, robot_joints(scene.task)))

    policy.reset()
    mask_source.reset(seed)
    return _run(seed, scene.reset(seed), scene.step, act)


def _run(
    seed: int,
    result: StepResult,
    step: Callable[[np.ndarray], StepResult],
    act: Callable[[StepResult], np.ndarray],
) -> EpisodeResult:
    episode_return = 0.0
    while not (result.done or result.success):
        result = step(act(result))
        episode_return += result.reward
    success_step = result.step if result.success else None
    return EpisodeResult(seed, result.success, success_step, episode_return)


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return fmean(numbers) if numbers else float("nan")
