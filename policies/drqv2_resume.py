"""What a run that is gone on with was told, and whether it can be."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

from policies.checkpoint import build
from policies.drqv2_config import DrQV2Config
from policies.run_folder import RunFolder
from policies.training_store import TrainingStore
from samg_ros.errors import CheckpointError, ConfigError

_MAY_CHANGE = ("frames", "resume", "runs")


def resumed_config(task_name: str, config: DrQV2Config, path: Path) -> DrQV2Config:
    """The configuration of the run in ``path``; with the frames of ``config``, if it gives any.

    :param config: otherwise without options of its own.
    :raises ConfigError: it has others, or ``path`` is not a run's folder.
    :raises CheckpointError: the run has no checkpoint that could be used, or is another task's.
    """
    former = _stored(RunFolder.existing(path), config.runs)
    for field in fields(DrQV2Config):
        given, then = getattr(config, field.name), getattr(former, field.name)
        if field.name not in _MAY_CHANGE and given not in (field.default, then):
            raise ConfigError(
                f"a run is resumed under its own configuration: {field.name} is {then!r} there, "
                f"not {given!r}; only frames may be new"
            )
    task = TrainingStore(path).load()["task"]
    if task != task_name:
        raise CheckpointError(f"{path} is a run of task {task!r}, not {task_name!r}")
    new_frames = config.frames != DrQV2Config.frames
    return replace(former, frames=config.frames) if new_frames else former


def _stored(folder: RunFolder, runs: Path) -> DrQV2Config:
    """``config.json`` as what it was written from; ``runs`` is where new folders would be made."""
    stored = folder.read_config()
    reference = Path(stored["reference"]) if stored.get("reference") else None
    paths = {"runs": runs, "resume": None, "reference": reference}
    return build(DrQV2Config, {**stored, **paths}, f"{folder.path / 'config.json'}")
