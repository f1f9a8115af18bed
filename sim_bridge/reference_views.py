"""A reference out of the simulator: its own segmentation at moments along an episode."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from samg_ros.masking.reference import Reference, Target, View, part_points
from sim_bridge.scene import Scene, SceneFrame
from sim_bridge.task import StepResult, Task

# A target that shows fewer pixels than this in a view is left out of it.
MIN_PIXELS = 30


def make_reference(
    task: Task, act: Callable[[StepResult], np.ndarray], *, seed: int, views: int, parts: int
) -> Reference:
    """Picture one episode, from its reset to its success or end, at evenly spaced steps.

    :param act: what moves the robot, from the step's result to an action, float [A].
    :param views: how many pictures; 1 is the reset alone, as SAM-G has it.
    :param parts: part points on each target.
    :raises InvalidReferenceError: a picture shows no target at all.
    """
    frames = _episode(Scene(task), act, seed, single=views == 1)
    chosen = np.unique(np.linspace(0, len(frames) - 1, views).round().astype(int))
    about = {
        "task": task.spec.name,
        "camera": task.spec.default_camera,
        "seed": seed,
        "steps": [frames[i].step for i in chosen],
    }
    return Reference(tuple(_view(frames[i], task.spec.targets, parts) for i in chosen), about)


def _episode(
    scene: Scene, act: Callable[[StepResult], np.ndarray], seed: int, *, single: bool
) -> list[SceneFrame]:
    result = scene.reset(seed)
    frames = [scene.observe()]
    while not (single or result.done or result.success):
        result = scene.step(act(result))
        frames.append(scene.observe())
    return frames


def _view(frame: SceneFrame, names: tuple[str, ...], parts: int) -> View:
    targets = []
    for number, name in enumerate(names, start=1):
        mask = frame.targets == number
        if mask.sum() >= MIN_PIXELS:
            targets.append(Target(name, mask, part_points(mask, parts)))
    return View(frame.rgb, tuple(targets))
