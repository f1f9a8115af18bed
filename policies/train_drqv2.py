"""Trains a DrQ-v2 agent in a run folder, or goes on with a run that was broken off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import torch

from policies.batch_pictures import BatchPictures, SamgPictures, WorkerPictures
from policies.checkpoint import build
from policies.drqv2_config import DrQV2Config
from policies.drqv2_run import DrQV2Run, Report
from policies.drqv2_training import DrQV2Training
from policies.run_folder import RunFolder
from policies.worker_view import WorkerView, plain_scene
from samg_ros.errors import ConfigError
from samg_ros.masking.build import build_masker
from samg_ros.masking.config import MaskerConfig
from samg_ros.masking.reference import Reference, find_reference
from samg_ros.models.base import choose_device
from sim_bridge.scene import Scene
from sim_bridge.vector import VectorScenes

_MAY_CHANGE = ("frames", "resume", "runs")


def train_drqv2(
    task_name: str,
    config: DrQV2Config,
    report: Report,
    make_scene: Callable[[], Scene] | None = None,
) -> Path:
    """Train an agent, or go on with ``config.resume``; score the best one, leave a run folder.

    :param report: called with the frames so far and a line about them, after every evaluation
        and at every point of the loss curves.
    :param make_scene: picklable, makes the scene; None shows the task before its own background.
    :return: the checkpoint of the agent that was best on the validation seeds.
    :raises CheckpointError: the run cannot be resumed.
    :raises ConfigError: unknown task, options that contradict each other, or it has diverged.
    :raises SimulationError: the simulator cannot start, or a worker died.
    """
    resumed, config = config.resume, _configuration(config)
    device = choose_device(config.device)
    pictures, side = _pictures(task_name, config)
    # SAM-G masks in this process, for all environments at once; else the workers do it.
    view = partial(WorkerView, "none" if config.mask == "samg" else config.mask, side)
    make = make_scene or partial(plain_scene, task_name, config.camera_size)
    with (
        _torch_threads(config.threads),
        VectorScenes([make] * config.environments, view, height=side, width=side) as scenes,
    ):
        training = DrQV2Training(scenes, pictures, config, device)
        if resumed:
            folder = RunFolder.existing(resumed)
            folder.write_config(config)
        else:
            folder = RunFolder(config.runs, f"{task_name}_drqv2_{config.mask}", config)
        run = DrQV2Run(task_name, config, folder, training, scenes, pictures, report)
        if resumed:
            run.resume()
        return run.to_the_end()


def _configuration(config: DrQV2Config) -> DrQV2Config:
    """``config``, or that of the run to go on with; its frames may be new.

    :raises ConfigError: other options than frames were given beside ``resume``.
    """
    if config.resume is None:
        return config
    stored = RunFolder.existing(config.resume).read_config()
    reference = stored.get("reference") and Path(stored["reference"])
    paths = {"runs": config.runs, "resume": None, "reference": reference}
    former = build(DrQV2Config, {**stored, **paths}, f"{config.resume / 'config.json'}")
    for field in fields(DrQV2Config):
        given, then = getattr(config, field.name), getattr(former, field.name)
        if field.name not in _MAY_CHANGE and given not in (field.default, then):
            raise ConfigError(
                f"a run is resumed under its own configuration: {field.name} is {then!r} there, "
                f"not {given!r}; only frames may be new"
            )
    new_frames = config.frames != DrQV2Config.frames
    return replace(former, frames=config.frames) if new_frames else former


def _pictures(task_name: str, config: DrQV2Config) -> tuple[BatchPictures, int]:
    """What makes the agent's pictures, and the side of those it makes them from."""
    if config.mask != "samg":
        return WorkerPictures(), config.image_size
    reference = Reference.load(find_reference(str(config.reference or task_name)))
    masker = build_masker(reference, MaskerConfig(device=config.device, threads=config.threads))
    return SamgPictures(masker, config.image_size), config.camera_size


@contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    """Run torch on ``count`` CPU threads inside the block; 0 leaves it as it is."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
