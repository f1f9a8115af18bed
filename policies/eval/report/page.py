"""The results page: what evaluations came to, each number with the command that repeats it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from policies.episode import Cell, Episode, EpisodeRecord
from policies.eval.config import CLEAN, SAMG
from policies.eval.folder import EPISODES, read_episodes
from policies.eval.report.figures import draw
from policies.eval.report.tables import (
    WEAK,
    glance_table,
    lines_of,
    markdown,
    overall_table,
    perturbations_of,
    ratios_table,
    results_table,
    weakest,
)
from policies.eval.summary import Row, base_of, by_combination, overall, rows_of
from samg_ros.errors import ConfigError
from samg_ros.io.atomic import write_text
from samg_ros.io.run_folder import read_config
from samg_ros.machine import describe


@dataclass(frozen=True)
class Run:
    """A folder of ``samg eval``. ``about``: see :func:`samg_ros.io.run_folder.read_config`."""

    name: str
    about: dict[str, Any]
    records: list[EpisodeRecord]

    @property
    def via_ros(self) -> bool:
        """Whether its episodes went through the nodes."""
        return bool(self.about["settings"]["via_ros"])

    def unfinished(self) -> Iterator[tuple[str, int]]:
        """The combinations that lack episodes, and how many each has."""
        there: dict[str, int] = {}
        for record in self.records:
            there[str(record.cell)] = there.get(str(record.cell), 0) + 1
        for name in self.about["settings"]["cells"]:
            if there.get(name, 0) < self.about["settings"]["episodes"]:
                yield name, there.get(name, 0)


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """:raises ConfigError: none is named; one is no evaluation, has no finished episode, or has
    another's name; or two of them cannot stand in one table, see :func:`check_alike`."""
    if not folders:
        raise ConfigError("name the folders of the evaluations that the page is to show")
    names = [folder.resolve().name for folder in folders]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"two folders are called {twice[0]}; runs go by that name")
    runs = []
    for folder, name in zip(folders, names, strict=True):
        runs.append(Run(name, read_config(folder), read_episodes(folder)))
        if not runs[-1].records:
            raise ConfigError(f"{folder / EPISODES}: no episode has ended yet")
    check_alike(runs)
    return runs


def check_alike(runs: Sequence[Run]) -> None:
    """A policy must be one and the same checkpoint in all of a task's runs; episodes of one
    combination, masked by one and the same masker.

    :raises ConfigError: they are not; the message names the runs and what differs.
    """
    seen: dict[str, tuple[object, str]] = {}
    for run in runs:
        for what, value in _conditions(run):
            before, name = seen.setdefault(what, (value, run.name))
            if before != value:
                raise ConfigError(
                    f"runs {name!r} and {run.name!r} differ in {what}: their results cannot stand "
                    "in one table; leave one of them out, or run it again"
                )


def merged(runs: Sequence[Run]) -> tuple[list[EpisodeRecord], dict[Cell, list[Run]]]:
    """:return: every episode once, as the first run has it that has it; and the runs that the
    episodes of each combination come from."""
    records: dict[Episode, EpisodeRecord] = {}
    sources: dict[Cell, list[Run]] = {}
    for run in runs:
        for record in run.records:
            if record.episode in records:
                continue
            records[record.episode] = record
            of_cell = sources.setdefault(record.cell, [])
            if run not in of_cell:
                of_cell.append(run)
    return list(records.values()), sources


def _conditions(run: Run) -> Iterator[tuple[str, object]]:
    """What has to be the same in another run, and what it is in this one."""
    settings = run.about["settings"]
    for policy, digest in settings["checkpoints"].items():
        yield f"the checkpoint of {policy}", digest
    for cell in dict.fromkeys(record.cell for record in run.records):
        if cell.mask == SAMG:
            yield f"on_lost ({cell})", settings["on_lost"]
            yield f"the masker's options ({cell})", settings["masker"]
            yield f"the reference ({cell})", settings["references"][cell.task]


_HEAD = """# Results

Written by `samg eval report`; what is changed here by hand is lost. Every number was computed from
the episodes of the [runs](#runs) at the end, which tell commands, seeds and hardware. Rows differ
in how many episodes they have, so each tells its own.

- `samg`: the policy is shown the method's masks; `oracle`: the simulator's own; `none`: the raw
  picture; `black`: nothing, which tells how far joint positions alone go. The *raw twin* learned
  from raw pictures with the same budget, and is what masks are to be compared with: a policy that
  learned from masked pictures has never seen raw ones.
- A *perturbation* changes how the world looks; it is a text for `--perturb`, and `none` is the
  world in which policies learned. `DIR` stands for a folder of the machine that it ran on. Which
  of a folder's clips an episode shows is drawn from its seed: a row of few episodes shows few.
- Scores are successes, or the mean return for tasks that have no success. A ratio is of the two
  mean scores, over the seeds that both were run with, with a 95 % interval of the bootstrap,
  which of a single episode (n = 1) says nothing.
"""
_TERMS = """\
- *success rate*, *return*: with 95 % intervals of the stratified bootstrap (episodes drawn anew
  within each task). *IQM* is the interquartile mean, of the half of all episodes between the best
  and the worst quarter; for a single task's success, which is 0 or 1 in each, it exaggerates, and
  the rate beside it is what counts. Where all episodes end alike the bootstrap sees no spread:
  20 successes of 20 still allow a rate of 0.86.
- *of clean*: the ratio to the same policy in the unchanged world with `oracle` masks; a twin's is
  to itself there.
- *mask IoU*: of SAM-G's masks against the simulator's, mean over episodes and worst frame.
  *found*: the share of frames in which every target was found.
"""


def write_page(folders: Sequence[Path], page: Path) -> None:
    """Write ``page``, and its plot into a folder beside it that has the page's name.

    :param folders: of evaluations, whose episodes are put together; each is once in every table.
    :raises ConfigError: one is no evaluation, has no finished episode, or has another's name; or
        two of them do not belong in one table.
    :raises OutputError: the disk refuses it.
    """
    runs = read_runs(folders)  # all of them, before anything is written
    direct = [run for run in runs if not run.via_ros]
    records, sources = merged(direct)
    plot = page.parent / page.stem / "overview.png"
    parts = [_HEAD]
    if records:
        rows = rows_of(records)
        draw(rows, plot)
        parts += [_glance(records, rows, os.path.relpath(plot, page.parent))]
        parts += ["## Details\n", _TERMS]
        parts += _details(records, rows, _numbers(rows, sources, runs))
    if through := [run for run in runs if run.via_ros]:
        parts += [_through_nodes(records, *merged(through), runs)]
    write_text(page, "\n".join([*parts, _runs(runs)]))


def _glance(records: Sequence[EpisodeRecord], rows: Sequence[Row], plot: str) -> str:
    lines = lines_of(records, rows)
    told = []
    for perturb in perturbations_of(rows):
        here = [line for line in lines if line.perturb == perturb]
        changed = "The world as it is" if perturb == CLEAN else f"Under `{perturb}`"
        told += [f"## {changed}", "", glance_table(here), ""]
        if ratios := ratios_table(here):
            told += ["Over tasks, the mean of their ratios and the least of them:", "", ratios, ""]
    told += [f"![all tasks]({plot})", ""]
    if together := overall_table(overall(records)):
        told += [
            "Each episode as a share of its task's clean result, over the seeds that the tasks"
        ]
        told += ["of a row share; rows of other tasks do not compare:", "", together, ""]
    known = sum(line.of_clean is not None for line in lines)
    told += [f"Where `samg` falls below {WEAK} of the clean `oracle`:", ""]
    told += [f"- {line}" for line in weakest(lines)] or [f"- in none of {known} combinations."]
    return "\n".join([*told, ""])


def _details(
    records: Sequence[EpisodeRecord], rows: Sequence[Row], numbers: Mapping[Cell, str]
) -> list[str]:
    """A section for each task. :param numbers: of each combination's runs."""
    sections = []
    for task in dict.fromkeys(row.cell.task for row in rows):
        here = [row for row in rows if row.cell.task == task]
        table = results_table(here, numbers)
        failed = "\n".join(failures(records, here))
        sections.append(f"### {task}\n\n{table}\n\nWhat failed:\n\n{failed}\n")
    return sections


def _through_nodes(
    direct: Sequence[EpisodeRecord],
    through: Sequence[EpisodeRecord],
    sources: Mapping[Cell, list[Run]],
    runs: Sequence[Run],
) -> str:
    """Episodes through the ROS nodes, beside the same ones in process."""
    in_process = {record.episode: record for record in direct}
    rows = rows_of(through)
    numbers = _numbers(rows, sources, runs)
    lines = []
    for row in rows:
        own = [record for record in through if record.cell == row.cell]
        pairs = [(r, in_process[r.episode]) for r in own if r.episode in in_process]
        alike = sum(
            (one.success, one.steps) == (other.success, other.steps) for one, other in pairs
        )
        ended = "-" if row.success is None else f"{row.episodes - len(row.failed)}"
        compared = f"{alike} of {len(pairs)}" if pairs else "-"
        settings = [row.cell.task, row.cell.policy, row.cell.mask, row.cell.perturb]
        returned = f"{row.episode_return.mean.mean:.1f}"
        told = [str(row.episodes), ended, returned, compared, numbers[row.cell]]
        lines.append([*settings, *told])
    headings = ("task", "policy", "masks", "perturbation", "episodes", "successes", "mean return")
    table = markdown((*headings, "outcome and steps as in process", "run"), lines)
    return f"## Through the ROS nodes\n\n`samg eval --via-ros`, the same seeds:\n\n{table}\n"


def _numbers(
    rows: Sequence[Row], sources: Mapping[Cell, list[Run]], runs: Sequence[Run]
) -> dict[Cell, str]:
    """The runs of each combination, as they are numbered at the page's end."""
    return {
        row.cell: ", ".join(str(runs.index(run) + 1) for run in sources[row.cell]) for row in rows
    }


def _runs(runs: Sequence[Run]) -> str:
    sections = ["## Runs\n"]
    for number, run in enumerate(runs, 1):
        about, asked = run.about, run.about["settings"]
        seeds = f"seeds {asked['seed']} to {asked['seed'] + asked['episodes'] - 1}"
        way = "through the ROS nodes" if run.via_ros else "in process"
        hardware = "; ".join(describe(machine) for machine in about["machines"])
        prints = ", ".join(f"{policy} {digest}" for policy, digest in asked["checkpoints"].items())
        unfinished = "".join(
            f" Unfinished: {name} ({n} episodes)." for name, n in run.unfinished()
        )
        sections += [
            f"### {number}. {run.name}\n\n    {about['command']}\n",
            f"{asked['episodes']} episodes of each combination, {seeds}, run {way}.{unfinished} "
            f"{hardware}. samg_ros {about['version']}. Checkpoints (sha256 of specification and "
            f"weights): {prints}.\n",
        ]
    return "\n".join(sections)


_POOR_SHARE = 0.75  # of the clean return: an episode below it is listed, of tasks without success

ByCell = Mapping[Cell, Sequence[EpisodeRecord]]


def failures(records: Sequence[EpisodeRecord], rows: Sequence[Row]) -> list[str]:
    """A line for each of ``rows`` in which an episode failed, with its seeds.

    :param records: of all combinations, those of other rows too.
    """
    by_cell = by_combination(records)
    lines = []
    for row in rows:
        if row.success is None and base_of(row.cell, by_cell) not in by_cell:
            lines.append(f"- {row.cell}: not known, since nothing clean was run to compare with")
        elif failed := row.failed or _poor(row.cell, by_cell):
            what = "no success" if row.success else f"return below {_POOR_SHARE} of clean"
            seeds = _told(row.cell, sorted(failed), by_cell)
            lines.append(f"- {row.cell}: {len(failed)} of {row.episodes} ({what}): seeds {seeds}")
    return lines or [
        f"- nothing: no episode without success, or below {_POOR_SHARE} of the clean return."
    ]


def _poor(cell: Cell, by_cell: ByCell) -> list[int]:
    """Seeds of a task without success whose return is far below the clean one's mean."""
    base = by_cell.get(base_of(cell, by_cell))
    records = by_cell[cell]
    if not base or any(record.success is not None for record in records):
        return []
    clean = sum(record.episode_return for record in base) / len(base)
    return [record.seed for record in records if record.episode_return < _POOR_SHARE * clean]


def _told(cell: Cell, seeds: Sequence[int], by_cell: ByCell) -> str:
    """Seeds; and for SAM-G's masks how good they were, to tell its failures from the policy's."""
    own = {record.seed: record for record in by_cell[cell]}
    oracle = Cell(cell.task, cell.policy, "oracle", cell.perturb)
    perfect = {record.seed: record for record in by_cell.get(oracle, ())}
    if all(own[seed].mean_iou is None for seed in seeds):
        return _ranges(seeds)

    def told(seed: int) -> str:
        too = "; oracle fails too" if seed in perfect and perfect[seed].success is False else ""
        return f"{seed} (mask IoU {own[seed].mean_iou:.2f}{too})"

    return ", ".join(map(told, seeds))


def _ranges(seeds: Sequence[int]) -> str:
    """``0, 2-5``: consecutive seeds as one."""
    told = []
    for _, pairs in groupby(enumerate(seeds), key=lambda pair: pair[1] - pair[0]):
        run = [seed for _, seed in pairs]
        told.append(f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)))
    return ", ".join(told)
