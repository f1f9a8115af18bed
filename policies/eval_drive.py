"""Runs what is missing of an evaluation, world by world, and keeps each episode at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, cast

from policies.eval_checks import Prepared
from policies.eval_config import SAMG, settings
from policies.eval_files import look_files, weight_files
from policies.eval_folder import EvalFolder
from policies.eval_records import Episode, EpisodeRecord
from policies.eval_run import Runner, World, make_scenes
from samg_ros.errors import SimulationError
from samg_ros.masking.config import MaskerConfig
from samg_ros.masking.frames import MaskSource
from samg_ros.masking.lost import LostBehaviour

Keep = Callable[[EpisodeRecord], None]


def settings_of(prepared: Prepared, masker: MaskerConfig) -> dict[str, Any]:
    """What a folder's episodes must have in common: the files that they depend on included."""
    own = settings(prepared.config, masker)
    cells = [str(cell) for cell in prepared.cells]
    known = {"checkpoints": prepared.fingerprints(), "references": prepared.references()}
    files = look_files(prepared.config.perturb)
    if SAMG in prepared.config.masks:
        files |= weight_files(masker)
    return {**own, **known, "files": files, "cells": cells}


def drive(prepared: Prepared, masker: MaskerConfig, folder: EvalFolder, report: Keep) -> list[str]:
    """Run what ``folder`` lacks. :param report: called with each finished episode.

    :return: a line for each world that could not be run to its end.
    :raises SamgError: the masker cannot be made, or the disk is full.
    """

    def keep(record: EpisodeRecord) -> None:
        folder.append(record)
        report(record)

    left = folder.missing(prepared.episodes)
    wanted = {episode.cell.task for episode in left if episode.cell.mask == SAMG}
    source = make_masker(tuple(sorted(wanted)), masker) if wanted else None
    problems = []
    for world, episodes in by_world(prepared, left).items():
        try:
            run_world(prepared, world, episodes, source, keep)
        except SimulationError as error:
            problems.append(f"{world.task}, {world.perturb}: {error}")
    return problems


def run_world(
    prepared: Prepared,
    world: World,
    episodes: list[Episode],
    masker: MaskSource | None,
    keep: Keep,
) -> None:
    """Episodes that share their environments. :raises SamgError: see :class:`Runner`."""
    config = prepared.config
    with make_scenes(world, config.envs, len(episodes)) as scenes:
        on_lost = cast(LostBehaviour, config.on_lost)
        Runner(scenes, prepared.of_task(world.task), masker, on_lost).run(episodes, keep)


def by_world(prepared: Prepared, episodes: Iterable[Episode]) -> dict[World, list[Episode]]:
    """Episodes by where they take place, in their order."""
    worlds: dict[World, list[Episode]] = {}
    for episode in episodes:
        worlds.setdefault(prepared.world(episode.cell), []).append(episode)
    return worlds


@lru_cache(maxsize=1)
def make_masker(tasks: tuple[str, ...], config: MaskerConfig) -> MaskSource:
    """SAM-G for frames of cameras that are called as the tasks; models are loaded once.

    :raises SamgError: a model, its weights or a reference cannot be used.
    """
    from samg_ros.masking.build import build_many, load_references

    return build_many(load_references({task: task for task in tasks}), config)
