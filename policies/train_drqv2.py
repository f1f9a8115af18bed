"""Trains a DrQ-v2 agent in a run folder, or goes on with a run that was broken off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch

from policies.batch_pictures import BatchPictures, SamgPictures, WorkerPictures
from policies.drqv2_config import DrQV2Config
from policies.drqv2_run import DrQV2Run, Report
from policies.drqv2_training import DrQV2Training
from policies.resumed_config import check_resumed
from policies.run_folder import RunFolder
from policies.training_store import TrainingStore
from policies.worker_view import WorkerView, plain_scene
from samg_ros.masking.build import build_masker
from samg_ros.masking.config import MaskerConfig
from samg_ros.masking.reference import Reference, find_reference
from samg_ros.models.base import choose_device
from sim_bridge.scene import Scene
from sim_bridge.task import tasks
from sim_bridge.vector import VectorScenes

MAY_CHANGE = ("frames",)
"""What a resumed run may be told anew."""


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
    if make_scene is None:
        tasks.get(task_name)  # an unknown name is told before anything is started
    check_resumed(config, MAY_CHANGE)
    if config.resume:
        TrainingStore(config.resume).load(task_name)  # is it there, and this task's?
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
        # Last, so that a run that cannot begin leaves no folder.
        with _folder(task_name, config) as folder:
            run = DrQV2Run(task_name, config, folder, training, scenes, pictures, report)
            if config.resume:
                run.resume()
                if not training.finished:
                    folder.write_config(config)
            return run.to_the_end()


def _folder(task_name: str, config: DrQV2Config) -> RunFolder:
    if config.resume:
        return RunFolder.existing(config.resume)
    return RunFolder.new(config.runs, f"{task_name}_drqv2_{config.mask}", config)


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
