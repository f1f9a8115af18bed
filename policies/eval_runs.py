"""Several evaluations as one: whose episodes may stand in one table, and which run each is of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policies.eval_config import SAMG
from policies.eval_folder import EPISODES, read_config, read_episodes
from policies.eval_records import Cell, Episode, EpisodeRecord
from samg_ros.errors import ConfigError


@dataclass(frozen=True)
class Run:
    """A folder of ``samg eval``. ``about``: see :func:`policies.eval_folder.read_config`."""

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
        raise ConfigError("name the folders of the evaluations that the page is to tell")
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

    :raises ConfigError: they are not; the message tells the runs and what differs.
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
