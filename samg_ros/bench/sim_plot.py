"""The figures of ``samg bench sim``: by task, and as a curve over the number of workers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from samg_ros.bench.sim_speed import SimFigures
from samg_ros.bench.sim_vector import VectorFigures
from samg_ros.bench.speed_plot import figure_class

# Label -> what is read off a row.
MARKS = {
    "control steps, no pictures": "steps",
    "pictures alone": "pictures",
    "steps with picture and true mask": "frames",
}


def draw(rows: Sequence[SimFigures], vectors: Sequence[VectorFigures], path: Path) -> None:
    """Write a picture of what was measured."""
    panels = [("tasks", rows), ("workers", vectors)]
    shown = [(kind, measured) for kind, measured in panels if measured]
    figure = figure_class()(figsize=(7 * len(shown), 3 + 0.25 * len(rows)), layout="constrained")
    axes = figure.subplots(1, len(shown), squeeze=False)[0]
    for axis, (kind, _) in zip(axes, shown, strict=True):
        if kind == "tasks":
            _points(axis, rows)
        else:
            _curve(axis, vectors)
    figure.savefig(path, dpi=110)


def _points(axis: Any, rows: Sequence[SimFigures]) -> None:
    """A line for each task; points, since no bar can begin at a logarithmic axis's zero."""
    places = range(len(rows))
    for label, field in MARKS.items():
        axis.plot([getattr(row, field).per_s for row in rows], places, "o", label=label)
    axis.set_yticks(places, [row.task for row in rows])
    axis.set(xlabel="a second", xscale="log", ylim=(len(rows) - 0.5, -0.5))
    axis.grid(alpha=0.3)
    axis.legend(fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(MARKS))


def _curve(axis: Any, vectors: Sequence[VectorFigures]) -> None:
    counts = [row.workers for row in vectors]
    axis.plot(counts, [row.frames_per_s for row in vectors], "o-")
    axis.set(xlabel="worker processes", ylabel="frames a second, all together")
    axis.set_ylim(0, 1.1 * max(row.frames_per_s for row in vectors))
    axis.set_xticks(counts)
    axis.set_title(vectors[0].task)
    axis.grid(alpha=0.3)
