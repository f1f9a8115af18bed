"""``samg bench masker``: how fast the masker is, and how much faster than SAM-G's own order."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
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

from samg_ros.errors import ConfigError
from samg_ros.io.atomic import replacing, write_text
from samg_ros.masking.config import MaskerConfig
from sim_bridge.bench.contenders import MaskerBench, configurations, settings
from sim_bridge.bench.masks import truth_frames
from sim_bridge.bench.race import Figures, Frames, Match, Problem, Row, configuration


class SpeedFolder:
    """What was measured so far.

    :param folder: made where it is missing; rows that are there already are kept.
    :raises ConfigError: the folder holds something else, or a run with other settings.
    :raises OutputError: the disk refuses it.
    """

    def __init__(self, bench: MaskerBench, masker: MaskerConfig, folder: Path) -> None:
        self._bench = bench
        self._file = folder / "results.json"
        self._about = {**settings(bench, masker), "machine": machine()}
        self.frames_file = folder / "frames.npz"
        self._check(folder)
        self.frames = self._read_frames() if self.frames_file.is_file() else _made(bench)
        if not self.frames_file.is_file():
            write_text(folder / "config.json", json.dumps(self._about, indent=1) + "\n")
            with replacing(self.frames_file) as temporary:
                np.savez_compressed(temporary, **vars(self.frames))
        self.rows: list[Row] = []
        self.problems: list[Problem] = []  # not read back: they are tried again
        if self._file.is_file():
            kept = json.loads(self._file.read_text())["rows"]
            self.rows = [Row.from_json(row) for row in kept]

    def missing(self, config: MaskerConfig) -> list[int]:
        """The batch sizes of a configuration that are still to be measured."""
        wanted = configuration(config)
        done = {row.batch for row in self.rows if row.configuration == wanted}
        return [batch for batch in dict.fromkeys(self._bench.batches) if batch not in done]

    def add(self, rows: list[Row], problems: list[Problem]) -> None:
        """Keep what was measured. :raises OutputError: the disk refuses it."""
        self.rows += rows
        self.problems += problems
        content = {
            **self._about,
            "seeds": self.frames.seeds,
            "rows": [row.to_json() for row in self.rows],
            "problems": [asdict(problem) for problem in self.problems],
        }
        write_text(self._file, json.dumps(content, indent=1) + "\n")

    def _check(self, folder: Path) -> None:
        file = folder / "config.json"
        if not file.is_file():
            if folder.is_dir() and any(folder.iterdir()):
                raise ConfigError(f"{folder} is not empty; name a new folder with --out")
            return
        before = json.loads(file.read_text())
        differing = [key for key in self._about if before.get(key) != self._about[key]]
        if differing:
            raise ConfigError(
                f"{folder} holds a run with other settings ({', '.join(differing)}); name a new "
                "folder with --out, or repeat that run's settings (config.json) to resume it"
            )

    def _read_frames(self) -> Frames:
        with np.load(self.frames_file) as kept:
            return Frames(kept["rgb"], kept["truth"], kept["seeds"].tolist())


def _made(bench: MaskerBench) -> Frames:
    """The frames of a new run."""
    seeds = range(bench.seed, bench.seed + bench.episodes)
    made = truth_frames(bench.task, bench.perturb, bench.size, seeds, bench.frames)
    return Frames(
        rgb=np.stack([frame.rgb for frame in made]),
        truth=np.stack([frame.truth for frame in made]),
        seeds=[frame.seed for frame in made],
    )


def machine() -> dict[str, Any]:
    """What figures must have in common to stand in one table."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": str(torch.__version__),
    }


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


COLUMNS = ("", "batch", "frames/s", "p50 ms", "p95 ms", "MB", "IoU", "IoU gained", "times as fast")
NOTES = """\
reference: SAM-G's own order of work, fp32, one frame at a time, measured in turn with the masker.
MB: peak above a process that has imported everything. IoU gained: paired, 95 % over episodes.
times as fast: frames/s by the reference's, median of the rounds, least and most."""


def masker(bench: OmitArgPrefixes[MaskerBench], masker: OmitArgPrefixes[MaskerConfig]) -> None:
    """Frames a second, latency, memory and IoU, beside the reference order of work."""
    from samg_ros.masking.reference import find_reference

    figure_class()  # a missing one is better told now than when all is measured
    configs = configurations(bench, masker)
    reference = find_reference(bench.reference or bench.task)
    path = Path(bench.out or f"runs/bench_masker_{datetime.now():%Y%m%d_%H%M%S}")
    console = Console()
    with console.status(f"frames of {bench.task}"):
        folder = SpeedFolder(bench, masker, path)
    match = Match(bench, folder.frames, folder.frames_file, reference)
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
    from samg_ros.statistics import bootstrap_mean

    if row.masker.ious is None or row.reference.ious is None:
        return "-"
    pairs = zip(row.masker.ious, row.reference.ious, strict=True)
    gained = bootstrap_mean([ours - theirs for ours, theirs in pairs], seeds)
    return str(gained) if len(set(seeds)) > 1 else f"{gained.mean:.3f}"


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeElapsedColumn(), console=console)
