"""The rows of ``samg bench masker`` as curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from samg_ros.bench.speed import Figures, Row
from samg_ros.errors import ConfigError

REFERENCE = "reference order"


def figure_class() -> Any:
    """matplotlib's figure, which needs no display. :raises ConfigError: it is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError("the plot needs matplotlib: pip install 'samg_ros[train]'") from error
    return Figure


def draw(rows: Sequence[Row], path: Path) -> None:
    """Frames a second and memory by batch size, and IoU by frames a second; nothing of no rows.

    A line for each configuration, a cross of its colour for the reference order beside it.
    """
    if not rows:
        return
    names = list(dict.fromkeys(row.configuration for row in rows))
    figure = figure_class()(figsize=(13, 4.5 + 0.4 * len(names)), layout="constrained")
    panels = figure.subplots(1, 3)
    for number, name in enumerate(names):
        these = sorted((r for r in rows if r.configuration == name), key=lambda r: r.batch)
        random = " (random weights)" if these[0].weights == "random" else ""
        colour = f"C{number % 10}"
        _curves(panels, [(r.batch, r.masker) for r in these], f"{name}{random}", colour, "o-")
        label = f"{REFERENCE} beside it"
        _curves(panels, [(1, these[0].reference)], label, colour, "x")
    _label(panels, sorted({row.batch for row in rows}))
    figure.legend(loc="outside lower center", ncols=2, fontsize="small")
    figure.savefig(path, dpi=110)


def _curves(
    panels: Any, measured: list[tuple[int, Figures]], label: str, colour: str, line: str
) -> None:
    """Figures by batch size, in each of the three panels."""
    batches = [batch for batch, _ in measured]
    speeds = [figures.frames_per_s for _, figures in measured]
    memory = [_number(figures.peak_memory_mb) for _, figures in measured]
    quality = [_number(figures.mean_iou) for _, figures in measured]
    panels[0].plot(batches, speeds, line, color=colour, label=label)
    panels[1].plot(batches, memory, line, color=colour)
    panels[2].plot(speeds, quality, line, color=colour)


def _label(panels: Any, batches: list[int]) -> None:
    titles = ("masked frames a second", "peak memory, MB", "mean IoU against the simulator")
    for panel, title in zip(panels, titles, strict=True):
        panel.set_title(title)
        panel.grid(alpha=0.3)
    for panel in panels[:2]:
        panel.set_xscale("log", base=2)
        panel.set_xticks(batches, [str(batch) for batch in batches])
        panel.set(xlabel="frames in a batch", ylim=(0, None))
    panels[2].set(xlabel="masked frames a second", xlim=(0, None))


def _number(value: float | None) -> float:
    """What was not measured leaves a gap."""
    return float("nan") if value is None else value
