"""A task in front of a background: the one source of pictures for bridge, training and tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from samg_ros.errors import SimulationError
from sim_bridge.backgrounds import Background, composite
from sim_bridge.task import StepResult, Task


@dataclass(frozen=True)
class SceneFrame:
    """One camera picture. ``stamp_ns`` is simulated time since the reset.

    :param rgb: uint8 [H, W, 3], what the camera sees.
    :param targets: uint8 [H, W], 0 or 1 + the index in ``TaskSpec.targets``.
    :param step: control steps since the reset.
    """

    rgb: np.ndarray
    targets: np.ndarray
    stamp_ns: int
    step: int


class Scene:
    """Binds a task to a background that advances with it; owns the task.

    :param background: None shows the task's own scene; see
        :func:`sim_bridge.backgrounds.make_background`.
    """

    def __init__(self, task: Task, background: Background | None = None) -> None:
        self.task = task
        self.background = background
        self._last: StepResult | None = None

    def reset(self, seed: int) -> StepResult:
        """Begin the episode and the background of ``seed``. :raises SimulationError: bad seed."""
        if self.background:
            self.background.reset(seed)
        self._last = self.task.reset(seed)
        return self._last

    def step(self, action: np.ndarray) -> StepResult:
        """:param action: float [A] in [-1, 1]. :raises SimulationError: see ``Task.step``."""
        self._last = self.task.step(action)
        return self._last

    def observe(self, camera: str | None = None) -> SceneFrame:
        """Render the current state. Changes nothing, so it may be called any number of times.

        :param camera: ``spec.default_camera`` where None.
        :raises SimulationError: before the first reset, unknown camera, or closed.
        """
        if self._last is None:
            raise SimulationError("there is nothing to observe yet; call reset(seed) first")
        rgb, targets = self.task.render(camera), self.task.segmentation(camera)
        if self.background:
            behind = self.background.frame(self._last.step, *targets.shape)
            rgb = composite(rgb, targets > 0, behind)
        stamp_ns = round(self._last.time_s * 1e9)
        return SceneFrame(rgb=rgb, targets=targets, stamp_ns=stamp_ns, step=self._last.step)

    def close(self) -> None:
        """Close the task; closing twice does nothing."""
        self.task.close()
