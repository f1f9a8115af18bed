"""``samg eval``: how policies do in changed worlds, with and without masks."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import tyro
from tyro.conf import OmitArgPrefixes, Positional

from policies.eval.config import EvalConfig, command
from samg_ros.io.progress import progress
from samg_ros.masking.config import MaskerConfig
from samg_ros.parameters import documented, parameter

if TYPE_CHECKING:  # what --help has no need of, torch above all, takes seconds to import
    from rich.table import Table

    from policies.episode import EpisodeRecord
    from policies.eval.folder import EvalFolder
    from policies.eval.prepare import Prepared
    from policies.eval.summary import Row

    Report = Callable[[EpisodeRecord], None]
    Driver = Callable[[Prepared, MaskerConfig, EvalFolder, Report], list[str]]


@documented
@dataclass(frozen=True)
class PageConfig:
    """The page of what evaluations came to."""

    folders: Positional[tuple[str, ...]] = parameter((), "folders of evaluations, in their order")
    page: str = parameter("docs/results.md", "the page; plots go into a folder of its name")


def evaluate(config: OmitArgPrefixes[EvalConfig], masker: OmitArgPrefixes[MaskerConfig]) -> int:
    """Run episodes of every task, policy, mask and perturbation; a stopped run is resumed.

    `samg eval report FOLDER...` writes a page of several runs.
    """
    from rich.console import Console

    from policies.eval.drive import settings_of
    from policies.eval.folder import EvalFolder
    from policies.eval.prepare import prepare
    from policies.eval.report.figures import figure_class
    from policies.eval.summary import rows_of

    console = Console(file=sys.stderr if config.json else sys.stdout, soft_wrap=True)
    figure_class()  # what is missing must not show only at the end
    prepared = prepare(config)
    run = driver(prepared)
    settings = settings_of(prepared, masker)
    with EvalFolder(config.out, settings, command(config, masker)) as folder:
        planned = len(prepared.episodes)
        there = planned - len(folder.missing(prepared.episodes))
        if there:
            console.print(f"resuming after {there} of {planned} episodes", highlight=False)
        done = count(there + 1)
        with progress("", planned, done=there, console=console) as report:
            problems = run(prepared, masker, folder, lambda one: report(next(done), line(one)))
        summary = write_results(folder, problems)
    if config.json:
        print(json.dumps(summary, indent=1))
    else:
        console.print(screen_table(rows_of(folder.records)))
    for problem in problems:
        console.print(f"not finished: {problem}", markup=False)
    console.print(f"everything is in {folder.path}", highlight=False)
    return 1 if problems else 0


def driver(prepared: Prepared) -> Driver:
    """What runs the episodes. :raises ConfigError: it cannot be used here, or not for these."""
    if prepared.config.via_ros:
        from policies.pipeline.evaluate import check_masks, drive_ros

        check_masks(prepared)
        return drive_ros
    if prepared.config.ray:
        from policies.eval.drive import connect, drive_ray

        connect(prepared.config.ray)
        return drive_ray
    from policies.eval.drive import drive

    return drive


def write_results(folder: EvalFolder, problems: list[str]) -> dict:
    """Write ``results.json``, ``results.md`` and ``results.png``. :return: the first."""
    from policies.eval.report.figures import draw
    from policies.eval.report.tables import overall_table, results_table
    from policies.eval.summary import overall, rows_of
    from samg_ros.io.atomic import write_text

    rows, together = rows_of(folder.records), overall(folder.records)
    summary = {
        "rows": [asdict(row) for row in rows],
        "overall": [asdict(row) for row in together],
        "problems": problems,
    }
    folder.write_results(summary)
    tables = [table for table in (results_table(rows), overall_table(together)) if table]
    write_text(folder.path / "results.md", "\n\n".join(tables) + "\n")
    draw(rows, folder.path / "results.png")
    return summary


def screen_table(rows: list[Row]) -> Table:
    """The most of ``results.md`` that a screen has room for."""
    from rich.table import Table

    from policies.eval.report.tables import interval

    table = Table(box=None)
    scores = ("success or return", "of clean", "IoU")
    for heading in ("task", "policy", "masks", "perturbation", *scores):
        table.add_column(heading, overflow="fold")
    for row in rows:
        shown = row.episode_return.iqm if row.success is None else row.success.mean
        share = "-" if row.score_ratio is None else f"{row.score_ratio.mean:.2f}"
        iou = "-" if row.mean_iou is None else f"{row.mean_iou:.2f}"
        table.add_row(*vars(row.cell).values(), interval(shown), share, iou)
    return table


def line(record: EpisodeRecord) -> str:
    """How an episode ended."""
    end = {True: "success", False: "no success", None: "done"}[record.success]
    iou = "" if record.mean_iou is None else f", mask IoU {record.mean_iou:.3f}"
    ended = f"{end} after {record.steps} steps, return {record.episode_return:.1f}{iou}"
    return f"{record.cell}, seed {record.seed}: {ended}"


def main(argv: list[str]) -> int:
    """Run ``samg eval``, or ``samg eval report``. :return: 0 when every episode was run."""
    if argv[:1] == ["report"]:
        asked = tyro.cli(PageConfig, prog="samg eval report", args=argv[1:])
        from policies.eval.report.page import write_page

        write_page([Path(folder).expanduser() for folder in asked.folders], Path(asked.page))
        print(f"wrote {asked.page}")
        return 0
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, _interrupt)
    return tyro.cli(evaluate, prog="samg eval", args=argv)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt
