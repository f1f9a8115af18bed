"""How many frames a second a task's copies in worker processes give, by how many they are.

Keep this module's imports small: every worker loads it.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from functools import partial

import numpy as np

from policies.worker_view import WorkerView
from samg_ros.bench.sim_options import SimBench
from sim_bridge.scene import make_scene
from sim_bridge.vector import VectorScenes

_WARM_UP = 3  # steps: the first pictures make what later ones use again


@dataclass(frozen=True)
class VectorFigures:
    """Control steps with a masked picture each, of all workers together: median of the rounds."""

    task: str
    workers: int
    frames_per_s: float


def measure_vector(task: str, workers: int, bench: SimBench) -> VectorFigures:
    """Measure ``workers`` copies of the task called ``task``, moved at random.

    :raises SimulationError: a worker cannot make its scene, or dies.
    """
    side = {"height": bench.size, "width": bench.size}
    make = partial(make_scene, task, **side, shadows=bench.shadows, perturb=bench.perturb)
    view = partial(WorkerView, "oracle", bench.size)
    with VectorScenes([make] * workers, view, **side) as scenes:
        walk = _Walk(scenes, bench.seed)
        walk.go(_WARM_UP)
        rates = [walk.go(bench.steps) for _ in range(bench.rounds)]
    return VectorFigures(task, workers, statistics.median(rates))


class _Walk:
    """Copies that are moved at random; each begins a new episode when one is done."""

    def __init__(self, scenes: VectorScenes, seed: int) -> None:
        self._scenes = scenes
        self._rng = np.random.default_rng(seed)
        self._next_seed = seed + len(scenes)
        scenes.reset(range(seed, seed + len(scenes)))

    def go(self, steps: int) -> float:
        """:return: frames a second; resets are not among the frames, and not in the time."""
        seconds = 0.0
        for _ in range(steps):
            shape = (len(self._scenes), self._scenes.spec.action_size)
            actions = list(self._rng.uniform(-1, 1, shape))
            start = time.perf_counter()
            states = self._scenes.step(actions)
            seconds += time.perf_counter() - start
            self._begin([state is not None and state.result.done for state in states])
        return steps * len(self._scenes) / seconds

    def _begin(self, done: list[bool]) -> None:
        if any(done):
            fresh = range(self._next_seed, self._next_seed + len(done))
            seeds = [seed if over else None for seed, over in zip(fresh, done, strict=True)]
            self._scenes.reset(seeds)
            self._next_seed += len(done)
