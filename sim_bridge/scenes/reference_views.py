"""A reference out of the simulator: its own segmentation at moments of one or several episodes."""

from __future__ import annotations

import numpy as np

from samg_ros.masking.reference import Reference, View
from sim_bridge.scenes.scene import Scene, SceneFrame
from sim_bridge.task import Expert, Task

# A target that shows fewer pixels than this in a view is left out of it.
MIN_PIXELS = 30


def make_reference(
    task: Task,
    act: Expert,
    *,
    seed: int,
    views: int,
    parts: int,
    episodes: int = 1,
) -> Reference:
    """Picture episodes at evenly spaced moments, from the reset to the success or end.

    What is drawn at a reset and then stays (how a goal is turned, where a door is) looks the same
    in all pictures of one episode. Of several, each picture in turn shows the next one.

    :param act: what moves the robot, from the step's result to an action, float [A].
    :param seed: of the first episode; each further one adds 1.
    :param views: how many pictures; 1 is a reset alone, as SAM-G has it.
    :param parts: part points on each target.
    :raises InvalidReferenceError: a picture shows no target at all.
    """
    episodes = min(episodes, views)
    scene, shares = Scene(task), np.linspace(0, 1, views)
    frames: dict[int, SceneFrame] = {}
    for episode in range(episodes):
        own = range(episode, views, episodes)
        frames |= zip(own, _frames(scene, act, seed + episode, shares[own]), strict=True)
    shown = [frames[i] for i in range(views)]
    about = {
        "task": task.spec.name,
        "camera": task.spec.default_camera,
        "seed": seed,
        "episodes": episodes,
        "steps": [frame.step for frame in shown],
    }
    return Reference(tuple(_view(f, task.spec.targets, parts) for f in shown), about)


def _frames(scene: Scene, act: Expert, seed: int, shares: np.ndarray) -> list[SceneFrame]:
    """An episode's pictures when these shares of its steps, ascending, are over.

    It is played twice, since how long it is, is seen only at its end.
    """
    actions = _actions(scene, act, seed) if shares.any() else []
    scene.reset(seed)
    frames, taken = [], 0
    for moment in (shares * len(actions)).round().astype(int):
        for action in actions[taken:moment]:
            scene.act(action)
        taken = moment
        frames.append(scene.observe())
    return frames


def _actions(scene: Scene, act: Expert, seed: int) -> list[np.ndarray]:
    """The actions of a whole episode."""
    result = scene.reset(seed)
    actions = []
    while not (result.done or result.success):
        actions.append(act(result))
        result = scene.act(actions[-1])
    return actions


def _view(frame: SceneFrame, names: tuple[str, ...], parts: int) -> View:
    masks = {name: frame.targets == number for number, name in enumerate(names, start=1)}
    shown = {name: mask for name, mask in masks.items() if mask.sum() >= MIN_PIXELS}
    return View.from_masks(frame.rgb, shown, parts=parts)
