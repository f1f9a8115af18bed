"""``samg bench masker``: how fast the masker is, and how much faster than SAM-G's own order."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from tyro.conf import OmitArgPrefixes

from samg_ros.bench.speed_options import MaskerBench
from samg_ros.masking.config import MaskerConfig

if TYPE_CHECKING:
    from samg_ros.bench.speed import Figures, Row
    from samg_ros.bench.speed_folder import SpeedFolder

COLUMNS = ("", "batch", "frames/s", "p50 ms", "p95 ms", "MB", "IoU", "IoU gained", "times as fast")
NOTES = """\
reference: SAM-G's own order of work, fp32, one frame at a time, measured in turn with the masker.
MB: peak above a process that has imported everything. IoU gained: paired, 95 % over episodes.
times as fast: frames/s by the reference's, median of the rounds, least and most."""


def masker(bench: OmitArgPrefixes[MaskerBench], masker: OmitArgPrefixes[MaskerConfig]) -> None:
    """Frames a second, latency, memory and IoU, beside the reference order of work."""
    from samg_ros.bench.speed_folder import SpeedFolder
    from samg_ros.bench.speed_match import Match
    from samg_ros.bench.speed_options import configurations
    from samg_ros.bench.speed_plot import draw, figure_class
    from samg_ros.masking.reference import find_reference

    figure_class()  # a missing one is better told now than when all is measured
    configs = configurations(bench, masker)
    reference = find_reference(bench.reference or bench.task)
    path = Path(bench.out or f"runs/bench_masker_{datetime.now():%Y%m%d_%H%M%S}")
    console = Console()
    with console.status(f"frames of {bench.task}"):
        folder = SpeedFolder(bench, masker, path)
    match = Match(bench, folder, reference)
    missing = {config: folder.missing(config) for config in configs if folder.missing(config)}
    turns = sum(len(batches) + 1 for batches in missing.values())
    with _progress(console) as progress:
        bar = progress.add_task("", total=bench.repeats * turns)
        for config, batches in missing.items():
            say = partial(_describe, progress, bar)
            folder.add(*match(config, batches, say, partial(progress.advance, bar)))
    draw(folder.rows, path / "speed.png")
    show(folder, console)
    console.print(f"results.json and speed.png are in {path}", soft_wrap=True)


def show(folder: SpeedFolder, console: Console) -> None:
    """A table for each configuration, headed by the reference order it was measured with."""
    named = list(dict.fromkeys(row.configuration for row in folder.rows))
    for name in named:
        rows = [row for row in folder.rows if row.configuration == name]
        random = " (random weights)" if rows[0].weights == "random" else ""
        title = f"{name}{random}"
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        for heading in COLUMNS:
            table.add_column(heading, justify="right")
        table.add_row("reference", "1", *_cells(rows[0].reference), "", "1", style="dim")
        for row in rows:
            spread = f"{row.ratio:.2f} [{min(row.ratios):.2f}, {max(row.ratios):.2f}]"
            cells = (*_cells(row.masker), _gain(row, folder.frames.seeds), spread)
            table.add_row("masker", str(row.batch), *cells)
        console.print(table)
    for problem in folder.problems:
        console.print(f"{problem.configuration}, batch {problem.batch}: {problem.reason}")
    console.print(NOTES, highlight=False, soft_wrap=True)


def _describe(progress: Progress, bar: TaskID, text: str) -> None:
    progress.update(bar, description=text)


def _cells(figures: Figures) -> tuple[str, ...]:
    memory, mean_iou = figures.peak_memory_mb, figures.mean_iou
    return (
        f"{figures.frames_per_s:.2f}",
        f"{figures.latency_p50_ms:.0f}",
        f"{figures.latency_p95_ms:.0f}",
        "-" if memory is None else f"{memory:.0f}",
        "-" if mean_iou is None else f"{mean_iou:.3f}",
    )


def _gain(row: Row, seeds: list[int]) -> str:
    """By how much the masker's IoU is above the reference order's, frame by frame."""
    from samg_ros.bench.summary import bootstrap_mean

    if row.masker.ious is None or row.reference.ious is None:
        return "-"
    pairs = zip(row.masker.ious, row.reference.ious, strict=True)
    gained = bootstrap_mean([ours - theirs for ours, theirs in pairs], seeds)
    return str(gained) if len(set(seeds)) > 1 else f"{gained.mean:.3f}"


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeElapsedColumn(), console=console)
