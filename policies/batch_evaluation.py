"""Episodes of a picture policy in several environments at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from policies.batch_pictures import BatchPictures
from policies.evaluation import EpisodeResult, EpisodeResults
from sim_bridge.vector import VectorScenes


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
) -> list[EpisodeResult]:
    """At most as many episodes as there are scenes, side by side, in the first of them."""
    count = len(seeds)
    done: dict[int, EpisodeResult] = {}
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
                step = result.step if result.success else None
                done[index] = EpisodeResult(seeds[index], result.success, step, returns[index])
        stack = torch.cat([stack[:, 3:], pictures(scenes.pictures[:count])], 1)
    return [done[index] for index in range(count)]
