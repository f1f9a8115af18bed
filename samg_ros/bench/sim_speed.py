"""How fast simulated tasks are: physics, pictures, both, and beside a plain renderer, in turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from samg_ros.bench.sim_options import SimBench
from samg_ros.errors import SimulationError
from sim_bridge.mujoco_task import MujocoTask
from sim_bridge.scene import Scene, make_scene

BLOCK = 10
"""Pictures that one renderer draws before the other has its turn."""


@dataclass(frozen=True)
class Seconds:
    """How long something took: on the wall, and of CPU time, all threads together."""

    wall: float = 0.0
    cpu: float = 0.0

    def __add__(self, other: Seconds) -> Seconds:
        return Seconds(self.wall + other.wall, self.cpu + other.cpu)


@dataclass(frozen=True)
class Round:
    """One round's parts; ``steps`` of each.

    :param physics: control steps alone. :param pictures: RGB alone. :param plain: the same
        pictures by a plain renderer. :param loop_physics: control steps, each followed by
    :param loop_pictures: its picture and true mask, as the bridge and training need them.
    """

    steps: int
    physics: Seconds
    pictures: Seconds
    plain: Seconds
    loop_physics: Seconds
    loop_pictures: Seconds


@dataclass(frozen=True)
class Rate:
    """How many a second, on the wall and of CPU time, which others on the machine change less."""

    per_s: float
    per_cpu_s: float

    def __str__(self) -> str:
        return f"{self.per_s:.0f} ({self.per_cpu_s:.0f})"


@dataclass(frozen=True)
class SimFigures:
    """One task's speed in one process: medians of the rounds.

    ``steps``: control steps without pictures. ``pictures``: RGB alone. ``frames``: control steps,
    each with picture and true mask; ``rendering_share``: how much of their time is in rendering,
    0 to 1. ``plain_ratios``: pictures a second by those of a plain ``mujoco.Renderer`` on the same
    scene, for each round; ``plain_cpu_ratios``: the same for a second of CPU time.
    """

    task: str
    steps: Rate
    pictures: Rate
    frames: Rate
    rendering_share: float
    plain_ratios: list[float]
    plain_cpu_ratios: list[float]

    @property
    def plain_ratio(self) -> float:
        return statistics.median(self.plain_ratios)

    @property
    def plain_cpu_ratio(self) -> float:
        return statistics.median(self.plain_cpu_ratios)

    def to_json(self) -> dict[str, Any]:
        """The fields, and the medians of the ratios."""
        medians = {"plain_ratio": self.plain_ratio, "plain_cpu_ratio": self.plain_cpu_ratio}
        return {**asdict(self), **medians}


def figures(task: str, rounds: list[Round]) -> SimFigures:
    """What a task's rounds amount to."""
    shares = [r.loop_pictures.wall / (r.loop_pictures + r.loop_physics).wall for r in rounds]
    return SimFigures(
        task=task,
        steps=_rate([(r.steps, r.physics) for r in rounds]),
        pictures=_rate([(r.steps, r.pictures) for r in rounds]),
        frames=_rate([(r.steps, r.loop_physics + r.loop_pictures) for r in rounds]),
        rendering_share=statistics.median(shares),
        plain_ratios=[r.plain.wall / r.pictures.wall for r in rounds],
        plain_cpu_ratios=[r.plain.cpu / r.pictures.cpu for r in rounds],
    )


def measure(name: str, bench: SimBench) -> SimFigures:
    """Measure the task called ``name``, moved at random.

    :raises ConfigError: unknown task, or a perturbation that does not suit it.
    :raises SimulationError: the simulator cannot start.
    """
    size, shadows = bench.size, bench.shadows
    scene = make_scene(name, height=size, width=size, shadows=shadows, perturb=bench.perturb)
    try:
        walk = _Walk(scene, bench.seed)
        with plain_renderer(scene.task, size, shadows) as plain:
            rounds = [_round(walk, plain, bench.steps) for _ in range(bench.rounds + 1)]
    finally:
        scene.close()
    return figures(name, rounds[1:])  # the first one warmed up


@contextmanager
def plain_renderer(task: Any, size: int, shadows: bool) -> Iterator[Callable[[], np.ndarray]]:
    """``mujoco.Renderer`` on the task's own model, camera and quality, and nothing around it.

    :return: draws what is now, uint8 [size, size, 3].
    :raises SimulationError: the task has no MuJoCo model.
    """
    from sim_bridge.rendering import mujoco

    if not isinstance(task, MujocoTask):
        raise SimulationError(f"{task.spec.name} has no MuJoCo model to be rendered plainly")
    renderer = mujoco.Renderer(task.model, size, size)
    for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
        renderer.scene.flags[flag] = shadows

    def draw() -> np.ndarray:
        renderer.update_scene(task.data, task.spec.default_camera)
        return renderer.render()

    try:
        yield draw
    finally:
        renderer.render()  # closing needs its own context to be current, see sim_bridge.rendering
        renderer.close()


class _Walk:
    """A scene that is moved at random; a new episode follows one that is done, untimed."""

    def __init__(self, scene: Scene, seed: int) -> None:
        self.scene = scene
        self._rng = np.random.default_rng(seed)
        self._seed = seed
        scene.reset(seed)

    def step(self) -> Seconds:
        """One control step. :return: what it took."""
        action = self._rng.uniform(-1, 1, self.scene.task.spec.action_size)
        watch = _Stopwatch()
        result = self.scene.step(action)
        took = watch.read()
        if result.done:
            self._seed += 1
            self.scene.reset(self._seed)
        return took


class _Stopwatch:
    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> Seconds:
        """Since it was made."""
        return Seconds(time.perf_counter() - self._wall, time.process_time() - self._cpu)


def _round(walk: _Walk, plain: Callable[[], np.ndarray], steps: int) -> Round:
    """Every part once."""
    physics = sum((walk.step() for _ in range(steps)), Seconds())
    task = walk.scene.task
    task.look = ()
    pictures, rivals = _in_turn(task.render, plain, steps)
    loop_physics = loop_pictures = Seconds()
    walk.scene.observe()
    for _ in range(steps):
        loop_physics += walk.step()
        watch = _Stopwatch()
        walk.scene.observe()
        loop_pictures += watch.read()
    return Round(steps, physics, pictures, rivals, loop_physics, loop_pictures)


def _in_turn(
    first: Callable[[], np.ndarray], second: Callable[[], np.ndarray], count: int
) -> tuple[Seconds, Seconds]:
    """Draw so many pictures with each of two: on a machine that others use, what is compared is
    measured close together. In blocks, since changing the OpenGL context takes time as well."""
    took = {first: Seconds(), second: Seconds()}
    for number, start in enumerate(range(0, count, BLOCK)):
        for draw in (first, second) if number % 2 == 0 else (second, first):
            draw()  # makes its context current
            watch = _Stopwatch()
            for _ in range(start, min(start + BLOCK, count)):
                draw()
            took[draw] += watch.read()
    return took[first], took[second]


def _rate(measured: list[tuple[int, Seconds]]) -> Rate:
    return Rate(
        statistics.median(count / took.wall for count, took in measured),
        statistics.median(count / took.cpu for count, took in measured),
    )
