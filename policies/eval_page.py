"""The results page: what evaluations came to, each number with the command that repeats it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from policies.eval_folder import EPISODES, read_config, read_episodes
from policies.eval_plot import draw
from policies.eval_records import Cell, EpisodeRecord
from policies.eval_summary import Row, base_of, overall, rows_of
from policies.eval_table import overall_table, results_table
from samg_ros.errors import ConfigError
from samg_ros.machine import describe
from samg_ros.offline.atomic import write_text

_POOR_SHARE = 0.75  # of the clean return: an episode below it is listed, of tasks without success
_HEAD = """# Results

Written by `samg eval report`; what is changed here by hand is lost. Each section is one run of
`samg eval`, from whose episodes every number in it was computed. `DIR` stands for a folder of the
machine it ran on.

- *masks*: what the policy is shown. `samg`: the method's masks; `oracle`: the simulator's own;
  `none`: the raw picture; `black`: nothing, which tells how far joint positions alone go. A policy
  that learned from masked pictures has never seen raw ones: what masks are worth is told by the
  comparison with a twin that learned from raw pictures, not by its own row with `none`.
- *look*: the visual change, a text for `--perturb`. A run's seeds are the same for all of them.
- *success rate*, *return*: with 95 % intervals of the stratified bootstrap (episodes drawn anew
  within each task). *IQM* is the interquartile mean, of the half of all episodes between the best
  and the worst quarter; for a single task's success, which is 0 or 1 in each, it exaggerates, and
  the rate beside it is what counts. Where all episodes end alike the bootstrap sees no spread:
  20 successes of 20 still allow a rate of 0.86.
- *of clean*: success (return, for tasks that have none) divided by that of the same policy in the
  unchanged world with `oracle` masks, or where it was run with one kind of masks alone, with
  those: a twin that was trained on raw pictures (`none`) is compared with itself.
- *mask IoU*: of SAM-G's masks against the simulator's, mean over episodes and worst frame.
  *found*: the share of frames in which every target was found.
"""


def write_page(folders: Sequence[Path], page: Path) -> None:
    """Write ``page``, and each run's plot into a folder beside it that has the page's name.

    :param folders: of evaluations, in the order of their sections; the name of each is its title.
    :raises ConfigError: one is no evaluation, has no finished episode, or has another's name.
    :raises OutputError: the disk refuses it.
    """
    names = [folder.resolve().name for folder in folders]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"two folders are called {twice[0]}; sections go by that name")
    # All are read before anything is written.
    runs = [(read_config(folder), read_episodes(folder)) for folder in folders]
    for folder, (_, records) in zip(folders, runs, strict=True):
        if not records:
            raise ConfigError(f"{folder / EPISODES}: no episode has ended yet")
    pictures = page.parent / page.stem
    sections = []
    for name, (about, records) in zip(names, runs, strict=True):
        rows = rows_of(records)
        plot = pictures / f"{name}.png"
        draw(rows, plot)
        link = os.path.relpath(plot, page.parent)
        sections.append(_section(name, about, records, rows, link))
    write_text(page, "\n".join([_HEAD, *sections]))


def _section(
    name: str,
    about: dict[str, Any],
    records: Sequence[EpisodeRecord],
    rows: Sequence[Row],
    plot: str,
) -> str:
    hardware = "; ".join(describe(machine) for machine in about["machines"])
    lines = [f"## {name}", "", f"    {about['command']}", "", _about(about, rows), ""]
    prints = about["settings"]["checkpoints"].items()
    checkpoints = ", ".join(f"{policy} {digest}" for policy, digest in prints)
    lines += [f"Hardware: {hardware}. samg_ros {about['version']}.", ""]
    lines += [f"Checkpoints (sha256 of specification and weights): {checkpoints}.", ""]
    lines += [results_table(rows), ""]
    if together := overall_table(overall(records)):
        lines += ["All tasks, each episode as a share of its task's clean result:", "", together]
        lines += [""]
    lines += [f"![{name}]({plot})", "", "What failed:", "", *_failures(records, rows), ""]
    return "\n".join(lines)


def _about(about: dict[str, Any], rows: Sequence[Row]) -> str:
    """How many episodes there are, of how many, and which are missing."""
    asked = about["settings"]
    seeds = f"seeds {asked['seed']} to {asked['seed'] + asked['episodes'] - 1}"
    way = "through the ROS nodes" if asked["via_ros"] else "in process"
    there = {str(row.cell): row.episodes for row in rows}
    short = [name for name in asked["cells"] if there.get(name, 0) < asked["episodes"]]
    unfinished = "".join(f" Unfinished: {n} ({there.get(n, 0)} episodes)." for n in short)
    return f"{asked['episodes']} episodes of each combination, {seeds}, run {way}.{unfinished}"


def _failures(records: Sequence[EpisodeRecord], rows: Sequence[Row]) -> list[str]:
    """A line for each combination in which an episode failed, with its seeds."""
    by_cell: dict[Cell, dict[int, EpisodeRecord]] = {}
    for record in records:
        by_cell.setdefault(record.cell, {})[record.seed] = record
    lines = []
    for row in rows:
        failed = row.failed or _poor(row.cell, by_cell)
        if failed:
            told = ", ".join(_failure(row.cell, seed, by_cell) for seed in sorted(failed))
            what = "no success" if row.success else f"return below {_POOR_SHARE} of clean"
            lines.append(f"- {row.cell}: {len(failed)} of {row.episodes} ({what}): seeds {told}")
    return lines or ["- nothing: every episode succeeded."]


def _poor(cell: Cell, by_cell: dict[Cell, dict[int, EpisodeRecord]]) -> list[int]:
    """Seeds of a task without success whose return is far below the clean one's mean."""
    base = by_cell.get(base_of(cell, by_cell))
    records = by_cell[cell].values()
    if not base or any(record.success is not None for record in records):
        return []
    clean = sum(record.episode_return for record in base.values()) / len(base)
    return [record.seed for record in records if record.episode_return < _POOR_SHARE * clean]


def _failure(cell: Cell, seed: int, by_cell: dict[Cell, dict[int, EpisodeRecord]]) -> str:
    """A seed, and for SAM-G's masks how good they were, to tell its failures from the policy's."""
    record = by_cell[cell][seed]
    if record.mean_iou is None:
        return str(seed)
    oracle = Cell(cell.task, cell.policy, "oracle", cell.perturb)
    perfect = by_cell.get(oracle, {}).get(seed)
    too = "; oracle fails too" if perfect and perfect.success is False else ""
    return f"{seed} (mask IoU {record.mean_iou:.2f}{too})"
