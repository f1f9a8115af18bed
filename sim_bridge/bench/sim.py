"""``samg bench sim``: how fast the simulated tasks are, and how much of it is rendering."""

from __future__ import annotations

import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from tyro.conf import OmitArgPrefixes

from samg_ros.errors import ConfigError, SimulationError
from samg_ros.io.progress import print_table, progress
from samg_ros.io.run_folder import RunFolder, command_line
from samg_ros.parameters import documented, parameter, validate

if TYPE_CHECKING:  # what --help has no need of, mujoco above all, takes seconds to import
    import numpy as np
    from gymnasium.vector import VectorEnv
    from rich.console import Console

    from sim_bridge.scenes.scene import Scene


@documented
@dataclass(frozen=True)
class SimBench:
    """How the tasks are rendered, and how often each part of the work is timed."""

    tasks: tuple[str, ...] = parameter((), "tasks to measure; empty takes all")
    perturb: str = parameter("none", "perturbation, but for the plain comparison")
    size: int = parameter(84, "side of the camera's picture", unit="px", low=16, high=2048)
    shadows: bool = parameter(False, "render shadows and reflections (slow)")
    steps: int = parameter(50, "control steps, and pictures, of each part of a round", low=1)
    rounds: int = parameter(5, "rounds, of which medians are taken; one more warms up", low=1)
    workers: tuple[int, ...] = parameter(
        (1, 2, 4), "numbers of copies in worker processes to measure; empty for none"
    )
    vector_task: str = parameter("adroit_door", "task whose copies are measured")
    seed: int = parameter(0, "seed of the first episode and of the random actions", low=0)
    out: str = parameter("", "folder of the run; a new one under 'runs' by default")

    def __post_init__(self) -> None:
        validate(self)
        if any(count < 1 for count in self.workers):
            raise ConfigError(f"workers are {self.workers}; each must be at least 1")


BLOCK = 10
"""Pictures that one renderer draws before the other has its turn."""


@dataclass(frozen=True)
class Seconds:
    """How long something took: wall-clock and CPU time, all threads together."""

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
    """How many a second of wall-clock time, and of CPU time, which others change less."""

    per_s: float
    per_cpu_s: float

    def __str__(self) -> str:
        return f"{self.per_s:.0f} ({self.per_cpu_s:.0f})"


@dataclass(frozen=True)
class SimFigures:
    """One task's speed in one process: medians of the rounds.

    ``steps``: control steps without pictures. ``pictures``: RGB alone. ``frames``: control steps,
    each with picture and true mask; ``rendering_share``: how much of their time is in rendering,
    0 to 1. ``plain_ratio``: pictures a second by those of a plain ``mujoco.Renderer`` on the same
    scene in the same round; ``plain_cpu_ratio``: the same for a second of CPU time.
    """

    task: str
    steps: Rate
    pictures: Rate
    frames: Rate
    rendering_share: float
    plain_ratio: float
    plain_cpu_ratio: float


def figures(task: str, rounds: list[Round]) -> SimFigures:
    """What a task's rounds amount to."""
    shares = [r.loop_pictures.wall / (r.loop_pictures + r.loop_physics).wall for r in rounds]
    return SimFigures(
        task=task,
        steps=_rate([(r.steps, r.physics) for r in rounds]),
        pictures=_rate([(r.steps, r.pictures) for r in rounds]),
        frames=_rate([(r.steps, r.loop_physics + r.loop_pictures) for r in rounds]),
        rendering_share=statistics.median(shares),
        plain_ratio=statistics.median(r.plain.wall / r.pictures.wall for r in rounds),
        plain_cpu_ratio=statistics.median(r.plain.cpu / r.pictures.cpu for r in rounds),
    )


def measure(name: str, bench: SimBench) -> SimFigures:
    """Measure the task called ``name``, moved at random.

    :raises ConfigError: unknown task, or a perturbation that does not suit it.
    :raises SimulationError: the simulator cannot start.
    """
    from sim_bridge.scenes.scene import make_scene

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
    from sim_bridge.render.renderer import mujoco
    from sim_bridge.tasks.mujoco_task import MujocoTask

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
        renderer.render()  # closing needs its own context to be current: see render.renderer
        renderer.close()


class _Walk:
    """A scene that is moved at random; a new episode follows one that is done, untimed."""

    def __init__(self, scene: Scene, seed: int) -> None:
        import numpy as np

        self.scene = scene
        self._rng = np.random.default_rng(seed)
        self._seed = seed
        scene.reset(seed)

    def step(self) -> Seconds:
        """One control step. :return: what it took."""
        action = self._rng.uniform(-1, 1, self.scene.task.spec.action_size)
        watch = _Stopwatch()
        result = self.scene.act(action)
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


_WARM_UP = 3  # steps: the first pictures make what later ones use again


@dataclass(frozen=True)
class VectorFigures:
    """Control steps with a masked picture each, of all workers together: median of the rounds."""

    task: str
    workers: int
    frames_per_s: float


def measure_vector(task: str, workers: int, bench: SimBench) -> VectorFigures:
    """Measure ``workers`` copies of the task called ``task``, moved at random.

    :raises SimulationError: a worker cannot make its environment, or dies.
    """
    from sim_bridge.envs.vector import make_vector

    envs = make_vector(
        task,
        workers,
        perturb=bench.perturb,
        shadows=bench.shadows,
        size=bench.size,
        camera_size=bench.size,
        masks="oracle",
        keys=("rgb",),
    )
    with closing(envs):
        walk = _VectorWalk(envs, bench.seed)
        walk.go(_WARM_UP)
        rates = [walk.go(bench.steps) for _ in range(bench.rounds)]
    return VectorFigures(task, workers, statistics.median(rates))


class _VectorWalk:
    """Copies that are moved at random; each begins a new episode when one is done."""

    def __init__(self, envs: VectorEnv, seed: int) -> None:
        import numpy as np

        self._envs = envs
        self._rng = np.random.default_rng(seed)
        self._seeds = itertools.count(seed)
        envs.reset(seed=[next(self._seeds) for _ in range(envs.num_envs)])  # type: ignore[arg-type]

    def go(self, steps: int) -> float:
        """:return: frames a second; resets are not among the frames, and not in the time."""
        from sim_bridge.envs.vector import begin

        seconds = 0.0
        for _ in range(steps):
            actions = self._rng.uniform(-1, 1, self._envs.action_space.shape)
            start = time.perf_counter()
            _, _, terminated, truncated, _ = self._envs.step(actions)
            seconds += time.perf_counter() - start
            over = terminated | truncated
            if over.any():
                begin(self._envs, [next(self._seeds) if ended else None for ended in over])
        return steps * self._envs.num_envs / seconds


COLUMNS = ("task", "steps/s", "pictures/s", "frames/s", "rendering", "plain")
NOTES = """\
steps/s: control steps without pictures. pictures/s: RGB alone. frames/s: control steps, each with
picture and true mask; rendering: its share of their time. In brackets: for a second of CPU time.
plain: pictures/s by those of a plain mujoco.Renderer, which draws the same in turn."""


def sim(bench: OmitArgPrefixes[SimBench]) -> None:
    """Steps and frames a second of each task, and of copies in worker processes."""
    from rich.console import Console

    from samg_ros.machine import describe, machine

    names = check(bench)
    command = command_line("samg bench sim", bench, ["out"])
    console = Console()
    with RunFolder.begin("bench_sim", bench, command, out=bench.out) as folder:
        rows, vectors = [], []
        with progress("sim", len(names) + len(bench.workers), lines=False) as report:
            for number, name in enumerate(names):
                report(number, name)
                rows.append(measure(name, bench))
            for number, workers in enumerate(bench.workers, len(names)):
                report(number, f"{bench.vector_task}, {workers} workers")
                vectors.append(measure_vector(bench.vector_task, workers, bench))
        about = {**machine(), "opengl": os.environ.get("MUJOCO_GL", "")}
        results = {
            "machine": about,
            "tasks": [asdict(row) for row in rows],
            "vector": [asdict(row) for row in vectors],
        }
        folder.write_results(results)
        show(rows, vectors, bench, console)
        console.print(describe(about), highlight=False, soft_wrap=True)
        console.print(f"results.json is in {folder.path}", soft_wrap=True)


def check(bench: SimBench) -> tuple[str, ...]:
    """:return: the tasks to measure. :raises ConfigError: one cannot be measured so."""
    from sim_bridge.perturbations.grammar import make_perturbation
    from sim_bridge.task import tasks

    names = bench.tasks or tasks.names()
    for name in (*names, *([bench.vector_task] if bench.workers else [])):
        tasks.get(name)
        make_perturbation(bench.perturb, name)
    return names


def show(
    rows: list[SimFigures], vectors: list[VectorFigures], bench: SimBench, console: Console
) -> None:
    """The tables."""
    from rich import box
    from rich.table import Table

    look = f"{bench.size} px, {'with' if bench.shadows else 'no'} shadows, {bench.perturb}"
    table = Table(title=look, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in COLUMNS:
        table.add_column(heading, justify="left" if heading == "task" else "right", no_wrap=True)
    for row in rows:
        table.add_row(
            row.task,
            str(row.steps),
            str(row.pictures),
            str(row.frames),
            f"{row.rendering_share:.0%}",
            f"{row.plain_ratio:.2f} ({row.plain_cpu_ratio:.2f})",
        )
    print_table(table)
    console.print(NOTES, highlight=False, soft_wrap=True)
    if vectors:
        copies = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for heading in (f"workers, {bench.vector_task}", "frames/s", "times one"):
            copies.add_column(heading, justify="right")
        for vector in vectors:
            times = vector.frames_per_s / vectors[0].frames_per_s * vectors[0].workers
            copies.add_row(str(vector.workers), f"{vector.frames_per_s:.0f}", f"{times:.2f}")
        console.print(copies)
