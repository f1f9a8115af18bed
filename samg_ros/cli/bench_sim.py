"""``samg bench sim``: how fast the simulated tasks are, and how much of it is rendering."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from tyro.conf import OmitArgPrefixes

from samg_ros.bench.sim_options import SimBench
from samg_ros.cli.wide_table import print_table
from samg_ros.errors import ConfigError
from samg_ros.offline.atomic import replacing, write_text

if TYPE_CHECKING:
    from samg_ros.bench.sim_speed import SimFigures
    from samg_ros.bench.sim_vector import VectorFigures

COLUMNS = ("task", "steps/s", "pictures/s", "frames/s", "rendering", "plain")
NOTES = """\
steps/s: control steps without pictures. pictures/s: RGB alone. frames/s: control steps, each with
picture and true mask; rendering: its share of their time. In brackets: for a second of CPU time.
plain: pictures/s by those of a plain mujoco.Renderer, which draws the same in turn."""


def sim(bench: OmitArgPrefixes[SimBench]) -> None:
    """Steps and frames a second of each task, and of copies in worker processes."""
    from samg_ros.bench.sim_plot import draw
    from samg_ros.bench.sim_speed import measure
    from samg_ros.bench.sim_vector import measure_vector
    from samg_ros.bench.speed_plot import figure_class

    figure_class()  # a missing one is better told now than when all is measured
    names = check(bench)
    folder = Path(bench.out or f"runs/bench_sim_{datetime.now():%Y%m%d_%H%M%S}").expanduser()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is not empty, or no folder; name a new folder with --out")
    console = Console()
    with console.status("tasks") as status:
        rows = []
        for name in names:
            status.update(name)
            rows.append(measure(name, bench))
        vectors = []
        for workers in bench.workers:
            status.update(f"{bench.vector_task}, {workers} workers")
            vectors.append(measure_vector(bench.vector_task, workers, bench))
    results = {
        "bench": asdict(bench),
        "tasks": [row.to_json() for row in rows],
        "vector": [asdict(row) for row in vectors],
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": len(os.sched_getaffinity(0)),
            "opengl": os.environ.get("MUJOCO_GL", ""),
        },
    }
    write_text(folder / "results.json", json.dumps(results, indent=1) + "\n")
    with replacing(folder / "speed.png") as temporary:
        draw(rows, vectors, temporary)
    show(rows, vectors, bench, console)
    console.print(f"results.json and speed.png are in {folder}", soft_wrap=True)


def check(bench: SimBench) -> tuple[str, ...]:
    """:return: the tasks to measure. :raises ConfigError: one cannot be measured so."""
    from sim_bridge.perturbations import make_perturbation
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
