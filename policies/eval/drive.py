"""Runs what is missing of an evaluation, world by world, and keeps each episode at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from functools import lru_cache
from itertools import groupby
from typing import Any, cast

from policies.episode import Cell, Episode, EpisodeRecord
from policies.eval.config import SAMG, EvalConfig, settings
from policies.eval.folder import EvalFolder
from policies.eval.prepare import Prepared, perturbed_files, prepare, weight_files
from policies.eval.runner import World, make_envs, run
from samg_ros.errors import ConfigError, SamgError, SimulationError
from samg_ros.masking.config import MaskerConfig
from samg_ros.masking.result import LostBehaviour, MaskSource

Keep = Callable[[EpisodeRecord], None]


def settings_of(prepared: Prepared, masker: MaskerConfig) -> dict[str, Any]:
    """What a folder's episodes must have in common: the files that they depend on included."""
    own = settings(prepared.config, masker)
    cells = [str(cell) for cell in prepared.cells]
    known = {"checkpoints": prepared.fingerprints(), "references": prepared.references()}
    files = perturbed_files(prepared.config.perturb)
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
    """Episodes that share their environments.

    :raises SamgError: see :func:`policies.eval.runner.run`.
    """
    config = prepared.config
    with closing(make_envs(world, config.envs, len(episodes))) as envs:
        on_lost = cast(LostBehaviour, config.on_lost)
        run(envs, episodes, prepared.of_task(world.task), masker, on_lost, keep)


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
    from samg_ros.masking.masker import build_masker, load_references

    return build_masker(load_references({task: task for task in tasks}), config).mask_frames


LOCAL = "local"
_UNIT = 5  # episodes


def drive_ray(
    prepared: Prepared, masker: MaskerConfig, folder: EvalFolder, report: Keep
) -> list[str]:
    """As :func:`policies.eval.drive.drive`, on the cluster at ``prepared.config.ray``."""
    ray = connect(prepared.config.ray)
    pending: dict[Any, list[Episode]] = {}
    for unit in units(folder.missing(prepared.episodes)):
        cell = unit[0].cell
        gpus = 1 if cell.mask == SAMG and ray.cluster_resources().get("GPU") else 0
        cpus = prepared.config.envs or 1
        remote = ray.remote(run_unit).options(num_cpus=cpus, num_gpus=gpus)
        pending[remote.remote(_alone(prepared, cell), masker, unit)] = unit
    problems = []
    while pending:
        (done, *_), _ = ray.wait(list(pending), num_returns=1)
        unit = pending.pop(done)
        try:
            records = ray.get(done)
        except (SamgError, ray.exceptions.RayError) as error:
            problems.append(f"{unit[0].cell}, seeds {[e.seed for e in unit]}: {error}")
            continue
        for record in records:
            folder.append(record)
            report(record)
    return problems


def connect(address: str) -> Any:
    """Ray, connected. :raises ConfigError: it is not installed, or nothing answers there."""
    try:
        import ray
    except ImportError as error:
        raise ConfigError(
            "--ray needs Ray, here and on every machine: pip install 'samg_ros[ray]'"
        ) from error
    try:
        ray.init(address=address, ignore_reinit_error=True, log_to_driver=False)
    except (ConnectionError, ValueError) as error:
        raise ConfigError(f"no Ray cluster at {address!r}: {error}") from error
    return ray


def run_unit(
    config: EvalConfig, masker: MaskerConfig, episodes: list[Episode]
) -> list[EpisodeRecord]:
    """Run episodes of one combination, on whichever machine this is.

    :param config: of that combination alone.
    :raises SamgError: it cannot be run here.
    """
    prepared = prepare(config)
    cell = episodes[0].cell
    source = make_masker((cell.task,), masker) if cell.mask == SAMG else None
    records: list[EpisodeRecord] = []
    run_world(prepared, prepared.world(cell), episodes, source, records.append)
    return records


def units(episodes: list[Episode]) -> list[list[Episode]]:
    """A few episodes of one combination each, in their order."""
    found = []
    for _, of_cell in groupby(episodes, key=lambda episode: episode.cell):
        same = list(of_cell)
        found += [same[start : start + _UNIT] for start in range(0, len(same), _UNIT)]
    return found


def _alone(prepared: Prepared, cell: Cell) -> EvalConfig:
    config = prepared.config
    return replace(
        config,
        tasks=(cell.task,),
        policies=(config.policy_names[cell.policy],),
        masks=(cell.mask,),
        perturb=(config.perturbations[cell.perturb],),
        envs=config.envs or 1,
    )
