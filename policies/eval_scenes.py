"""What a worker of an evaluation makes: a task under one look, and its pictures with the truth.

Keep this module's imports small: every worker process loads them.
"""

from __future__ import annotations

import numpy as np

from sim_bridge.perturbations import make_perturbation
from sim_bridge.scene import Scene, SceneFrame
from sim_bridge.task import make_task


def eval_scene(task: str, perturb: str, size: int) -> Scene:
    """:param size: side of the camera's picture, px.

    :raises SamgError: the task or the look cannot be used.
    """
    perturbation = make_perturbation(perturb, task)
    return Scene(make_task(task, height=size, width=size), perturbation)


class FrameAndTruth:
    """A :class:`sim_bridge.vector.View`: above what the camera sees, below where targets are."""

    def reset(self, seed: int) -> None:
        """Nothing to do: there is no history."""

    def __call__(self, frame: SceneFrame) -> np.ndarray:
        """:return: uint8 [2 H, W, 3]; see :func:`parted`."""
        return np.concatenate([frame.rgb, np.repeat(frame.targets[..., None], 3, axis=2)])


def parted(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What :class:`FrameAndTruth` put together: a copy.

    :param picture: uint8 [2 H, W, 3].
    :return: the frame, uint8 [H, W, 3], and its targets, uint8 [H, W], as ``SceneFrame`` has them.
    """
    rgb, targets = np.split(picture, 2)
    return rgb.copy(), targets[..., 0].copy()
