"""A task with its perturbation: the one source of pictures for bridge, training and tests."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from samg_ros.errors import SimulationError
from sim_bridge.perturbations.backgrounds import composite
from sim_bridge.perturbations.grammar import Perturbation, make_perturbation
from sim_bridge.task import StepResult, Task, TaskSpec, check_seed, make_task


@dataclass(frozen=True)
class SceneFrame:
    """One camera picture. ``stamp_ns`` is simulated time since the reset.

    :param rgb: uint8 [H, W, 3], what the camera sees.
    :param targets: uint8 [H, W], 0 or 1 + the index in ``TaskSpec.targets``.
    :param step: control steps since the reset.
    :param fovy_rad: the camera's vertical field of view.
    :param depth: float32 [H, W], m along the camera's axis to what the simulator has there, as if
        no clip or photograph were behind it; infinite where nothing is. None if not asked for.
    """

    rgb: np.ndarray
    targets: np.ndarray
    stamp_ns: int
    step: int
    fovy_rad: float
    depth: np.ndarray | None = None


class Scene:
    """Binds a task to a perturbation that advances with it; owns the task.

    :param perturbation: None shows the task as it is; see
        :func:`sim_bridge.perturbations.grammar.make_perturbation`.
    """

    def __init__(self, task: Task, perturbation: Perturbation | None = None) -> None:
        self.task = task
        self._perturbation = perturbation or Perturbation()
        self._seed = 0
        self._last: StepResult | None = None

    def reset(self, seed: int) -> StepResult:
        """Begin the episode of ``seed``, and what the perturbation shows in it.

        :raises SimulationError: bad seed. :raises ImageError: a clip cannot be read any more.
        """
        check_seed(seed)
        self._perturbation.reset(seed)
        self._last = self.task.reset(seed)
        self._seed = seed
        return self._last

    def perturb(self, perturbation: Perturbation) -> None:
        """Perturb every picture from the next one on, as if it had been so since the reset.

        :raises ImageError: a clip cannot be read any more; then everything stays as it is.
        """
        perturbation.reset(self._seed)
        self._perturbation = perturbation

    def step(self, command: np.ndarray) -> StepResult:
        """:param command: float64 [A] in the actuators' units, see ``Task.step``.

        :raises SimulationError: see ``Task.step``.
        """
        self._last = self.task.step(command)
        return self._last

    def act(self, action: np.ndarray) -> StepResult:
        """:param action: float [A] in [-1, 1]. :raises SimulationError: see ``Task.step``."""
        return self.step(self.task.spec.action_to_command(action))

    def observe(
        self, camera: str | None = None, *, with_depth: bool = False, hide: Collection[str] = ()
    ) -> SceneFrame:
        """Render the current state. Changes nothing, so it may be called any number of times.

        :param camera: ``spec.default_camera`` where None. :param with_depth: render depth too.
        :param hide: targets that are painted over with the picture behind, where there is one.
        :raises SimulationError: before the first reset, unknown camera, or closed.
        """
        last, task = self._begun(), self.task
        task.look = self._perturbation.look
        rgb, targets = task.render(camera), task.segmentation(camera)
        if self._perturbation.backdrop:
            hidden = [i + 1 for i, name in enumerate(task.spec.targets) if name in hide]
            targets = np.where(np.isin(targets, hidden), 0, targets).astype(np.uint8)
            rgb = self._before_backdrop(rgb, targets, camera)
        return SceneFrame(
            rgb=rgb,
            targets=targets,
            stamp_ns=round(last.time_s * 1e9),
            step=last.step,
            fovy_rad=task.camera_fovy_rad(camera),
            depth=task.depth(camera) if with_depth else None,
        )

    def picture(self, camera: str | None = None) -> np.ndarray:
        """:meth:`observe`'s ``rgb`` alone: without a backdrop the targets need not be rendered."""
        self._begun()
        self.task.look = self._perturbation.look
        rgb = self.task.render(camera)
        if not self._perturbation.backdrop:
            return rgb
        return self._before_backdrop(rgb, self.task.segmentation(camera), camera)

    def _begun(self) -> StepResult:
        if self._last is None:
            raise SimulationError("there is nothing to observe yet; call reset(seed) first")
        return self._last

    def _before_backdrop(
        self, rgb: np.ndarray, targets: np.ndarray, camera: str | None
    ) -> np.ndarray:
        backdrop, last = self._perturbation.backdrop, self._begun()
        assert backdrop is not None
        covered = targets == 0
        if backdrop.keeps_floor:
            covered &= self.task.backdrop(camera)
        behind = backdrop.background.frame(last.step, *targets.shape)
        return composite(rgb, ~covered, behind)

    def close(self) -> None:
        """Close the task; closing twice does nothing."""
        self.task.close()


def make_scene(
    task: str, *, height: int, width: int, shadows: bool = False, perturb: str = "none"
) -> Scene:
    """The task called ``task`` under a perturbation's text; for one process or each of many.

    :raises ConfigError: unknown task, or a perturbation that cannot be used.
    :raises SimulationError: the simulator cannot start.
    """
    perturbation = make_perturbation(perturb, task)
    return Scene(make_task(task, height=height, width=width, shadows=shadows), perturbation)


def world_of(task: str) -> TaskSpec:
    """What a simulated task says of itself. :raises SamgError: it cannot be made."""
    made = make_task(task, height=64, width=64)
    made.close()
    return made.spec
