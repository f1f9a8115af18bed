"""``samg eval --via-ros``: the same episodes through the nodes, as ``samg demo`` runs them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path
from typing import Any

from rich.console import Console

from policies.episode import Cell, Episode, EpisodeRecord
from policies.eval.config import SAMG
from policies.eval.folder import EvalFolder
from policies.eval.prepare import Prepared
from policies.pipeline.processes import Processes
from policies.pipeline.recording import episodes_of
from policies.pipeline.simulated import MASK_SOURCES, DemoConfig, conduct, nodes
from samg_ros.errors import BagError, ConfigError, SamgError
from samg_ros.masking.config import MaskerConfig

Keep = Callable[[EpisodeRecord], None]


def drive_ros(
    prepared: Prepared, masker: MaskerConfig, folder: EvalFolder, report: Keep
) -> list[str]:
    """As :func:`policies.eval.drive.drive`, one combination after the other.

    What the nodes say is recorded, and what was recorded is what counts: of a run that was broken
    off, the episodes that had ended are taken from its recording.
    """
    problems = []
    for number, cell in enumerate(prepared.cells):
        runs = Recordings(folder.path / "recordings" / f"{number:03d}_{cell.task}_{cell.mask}")
        planned = [episode for episode in prepared.episodes if episode.cell == cell]

        def take(episodes: list[Episode] = planned, runs: Recordings = runs) -> list[Episode]:
            """Keep what was recorded. :return: what is still to be run."""
            left = folder.missing(episodes)
            for record in recorded(prepared, left, runs):
                folder.append(record)
                report(record)
            return folder.missing(episodes)

        left = take()
        try:
            for part in consecutive(left):
                _record(prepared, masker, part, runs.new())
                left = take()
        except SamgError as error:
            left = take()
            problems.append(f"{cell}: {error}")
            continue
        if left:
            seeds = ", ".join(str(episode.seed) for episode in left)
            problems.append(f"{cell}, seeds {seeds}: given up; the logs say why")
    return problems


def check_masks(prepared: Prepared) -> None:
    """:raises ConfigError: a mask source that the nodes do not have."""
    unknown = sorted({cell.mask for cell in prepared.cells} - MASK_SOURCES.keys())
    if unknown:
        raise ConfigError(f"masks {unknown[0]!r} are not made by a node; leave out --via-ros")


class Recordings:
    """The folders of a combination's runs of the pipeline."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def new(self) -> Path:
        """A place for the next one."""
        return next(place for place in self._places() if not place.exists())

    def records(self) -> Iterator[EpisodeRecord]:
        """The episodes of all runs, ended or not; of recordings that can be read."""
        for place in self._places():
            if not place.exists():
                return
            try:
                yield from episodes_of(place / "bag")
            except BagError:
                continue  # the recorder was killed too early; its episodes are run again

    def _places(self) -> Iterator[Path]:
        return (self._folder / f"run_{number}" for number in count())


def recorded(prepared: Prepared, left: list[Episode], runs: Recordings) -> list[EpisodeRecord]:
    """Of the episodes that are left, those that have been recorded to their end."""
    wanted = {episode.seed: episode for episode in left}
    found = {}
    for record in runs.records():
        episode = wanted.get(record.seed)
        if episode is None or (record.timing and record.timing.timed_out):
            continue
        if record.success or record.steps >= prepared.specs[episode.cell.task].episode_steps:
            found[record.seed] = _placed(record, episode.cell, prepared)
    return list(found.values())


def _placed(record: EpisodeRecord, cell: Cell, prepared: Prepared) -> EpisodeRecord:
    """A recorded episode as one of an evaluation: masks that are not SAM-G's are not scored."""
    learned_from = prepared.policies[cell.task, cell.policy].spec.mask
    placed = replace(record, cell=cell, learned_from=learned_from, timing=None)
    return placed if cell.mask == SAMG else replace(placed, mean_iou=None, min_iou=None)


def consecutive(episodes: list[Episode]) -> list[list[Episode]]:
    """Episodes in runs of seeds that follow each other, as the bridge counts them."""
    runs: list[list[Episode]] = []
    for episode in sorted(episodes, key=lambda e: e.seed):
        if runs and runs[-1][-1].seed + 1 == episode.seed:
            runs[-1].append(episode)
        else:
            runs.append([episode])
    return runs


def _record(
    prepared: Prepared, masker: MaskerConfig, episodes: list[Episode], place: Path
) -> None:
    """Start the nodes, run the episodes, stop the nodes; what they said is in ``place/bag``."""
    from samg_ros.ros.environment import dds_environment, free_domain_id, isolated_environment

    cell = episodes[0].cell
    demo = DemoConfig(
        task=cell.task,
        perturb=prepared.config.perturbations[cell.perturb],
        mask=cell.mask,
        episodes=len(episodes),
        seed=episodes[0].seed,
        policy=prepared.sources[cell.task, cell.policy],
        device=masker.device,
    )
    place.mkdir(parents=True)
    os.environ.update(dds_environment(local=True) | isolated_environment(free_domain_id()))
    more = _more(prepared, masker, cell)
    with Processes(place / "logs", dict(os.environ)) as processes:
        for name, (module, arguments) in nodes(demo, place).items():
            processes.start(name, module, arguments + _arguments(more.get(name, {})))
        conduct(demo, processes, Console(stderr=True))


def _more(prepared: Prepared, masker: MaskerConfig, cell: Cell) -> dict[str, dict[str, Any]]:
    """What the demo leaves at its defaults, by node."""
    size = prepared.world(cell).size
    default = asdict(MaskerConfig())
    options = {k: v for k, v in asdict(masker).items() if v != default[k] and k != "device"}
    return {
        "bridge": {"image_height": size, "image_width": size},
        "masker": {"on_lost": prepared.config.on_lost, **options},
    }


def _arguments(parameters: dict[str, Any]) -> list[str]:
    return [word for k, v in parameters.items() for word in ("-p", f"{k}:={json.dumps(v)}")]
