"""The figures of ``samg bench policy`` as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from samg_ros.bench.policy_speed import PolicyFigures
from samg_ros.bench.speed_plot import figure_class


def draw(rows: Sequence[PolicyFigures], path: Path) -> None:
    """A bar for each policy. :raises ConfigError: matplotlib is not installed."""
    figure = figure_class()(figsize=(7, 1.5 + 0.35 * len(rows)), layout="constrained")
    axis = figure.subplots()
    bars = axis.barh([row.policy for row in rows], [row.per_s for row in rows])
    axis.bar_label(bars, fmt="%.0f", padding=3)
    axis.invert_yaxis()
    axis.margins(x=0.15)
    axis.set_xlabel("observations a second, on one thread")
    figure.savefig(path, dpi=110)
