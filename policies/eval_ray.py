"""An evaluation spread over the machines of a Ray cluster, which the project does not need.

It was run with Ray on one machine (``--ray local``), never on a cluster.
Every machine needs the package with its extras, the same checkpoints and clips at the same paths.
A few episodes of one combination are a unit of work; what a lost machine had is run again by the
next call.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import Any

from policies.eval_checks import Prepared, prepare
from policies.eval_config import SAMG, EvalConfig
from policies.eval_drive import Keep, make_masker, run_world
from policies.eval_folder import EvalFolder
from policies.eval_records import Cell, Episode, EpisodeRecord
from samg_ros.errors import ConfigError, SamgError
from samg_ros.masking.config import MaskerConfig

LOCAL = "local"
_UNIT = 5  # episodes


def drive_ray(
    prepared: Prepared, masker: MaskerConfig, folder: EvalFolder, report: Keep
) -> list[str]:
    """As :func:`policies.eval_drive.drive`, on the cluster at ``prepared.config.ray``."""
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
        perturb=(config.looks[cell.perturb],),
        envs=config.envs or 1,
    )
