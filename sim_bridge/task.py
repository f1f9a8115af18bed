"""The contract between a simulated task and what drives it (bridge, training, tests)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from samg_ros.errors import SimulationError
from samg_ros.registry import Registry
from samg_ros.robot import RobotSpec
from sim_bridge.render import CAMERA_SIZE as CAMERA_SIZE

if TYPE_CHECKING:
    from sim_bridge.render.stage import Edit


@dataclass(frozen=True, kw_only=True)
class TaskSpec(RobotSpec):
    """What a task looks like from outside. Units: rad or m (position), rad/s or m/s, N m or N.

    ``control_dt_s`` is the simulated time of one :meth:`Task.step`, action repeat included.
    ``targets`` names the objects of :meth:`Task.segmentation`: id ``i + 1`` is ``targets[i]``.
    ``actuated_joints`` are what ``joint_command`` names: joints, or the axes of a velocity of the
    gripper, which ``joint_states`` does not carry. ``joint_names`` are what ``joint_states``
    carries: hinge and slide joints, and the couplings of several joints that an actuator moves;
    never the free joint of a body that floats.
    ``proprioception`` is the subset of ``joint_names`` that belongs to the robot.
    ``tells_success``: whether there is a success beside the return.
    ``joint_units`` and ``joint_limits`` (low, high; infinite where free) are in the order of
    ``joint_names``; empty where the task does not say.
    """

    name: str
    proprioception: tuple[str, ...]
    cameras: tuple[str, ...]
    default_camera: str
    targets: tuple[str, ...]
    action_repeat: int
    episode_steps: int
    tells_success: bool
    joint_units: tuple[str, ...] = ()
    joint_limits: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class JointState:
    """Positions and velocities in the order of ``TaskSpec.joint_names``, float64 [J]."""

    position: np.ndarray
    velocity: np.ndarray


@dataclass(frozen=True)
class StepResult:
    """One control step. ``success`` is None for tasks that only have a return.

    ``state`` is the task's full low-dimensional state, float64 [S], for state teachers only.
    """

    state: np.ndarray
    reward: float
    success: bool | None
    step: int
    time_s: float
    done: bool


Expert = Callable[[StepResult], np.ndarray]
"""What moves a robot: from a step's result to an action, float [A] in [-1, 1]."""


class Task(Protocol):
    """A simulated task. The same seed gives the same episode; rendering never changes it."""

    spec: TaskSpec
    look: tuple[Edit, ...]
    """What changes every picture from now on, and the camera; see ``sim_bridge.perturbations``."""

    def reset(self, seed: int) -> StepResult: ...

    def step(self, command: np.ndarray) -> StepResult:
        """:param command: float64 [A] in the actuators' units (rad, rad/s, N m), clipped to the
        limits; NaN or a wrong shape raises SimulationError."""
        ...

    def joint_state(self) -> JointState: ...

    def render(self, camera: str | None = None) -> np.ndarray:
        """:return: uint8 [H, W, 3] RGB, from ``spec.default_camera`` where None."""
        ...

    def depth(self, camera: str | None = None) -> np.ndarray:
        """:return: float32 [H, W], m along the camera's axis; infinite where nothing is."""
        ...

    def segmentation(self, camera: str | None = None) -> np.ndarray:
        """:return: uint8 [H, W]; 0 is background, ``i + 1`` is ``spec.targets[i]``."""
        ...

    def backdrop(self, camera: str | None = None) -> np.ndarray:
        """:return: bool [H, W]: where only the sky is, or what lies beyond the task's floor."""
        ...

    def camera_fovy_rad(self, camera: str | None = None) -> float: ...

    def close(self) -> None: ...


tasks: Registry = Registry(
    "task", ("sim_bridge.tasks.adroit", "sim_bridge.tasks.arm.task", "sim_bridge.tasks.dmc")
)
"""Factories ``(height, width, shadows) -> Task``, by name."""


def check_seed(seed: int) -> None:
    """:raises SimulationError: ``seed`` is not in 0 .. 2**32 - 1."""
    if not 0 <= seed < 2**32:
        raise SimulationError(f"the episode's seed must be in 0..2**32 - 1, got {seed}")


def make_task(name: str, *, height: int = 256, width: int = 256, shadows: bool = False) -> Task:
    """Build the task called ``name``; the renderer's size is fixed for its life.

    :param height: camera rows; ``width``: camera columns.
    :param shadows: render shadows and reflections (slow; never changes the physics).
    :raises ConfigError: unknown name. :raises SimulationError: the simulator cannot start.
    """
    try:
        return tasks.get(name)(height=height, width=width, shadows=shadows)
    except ModuleNotFoundError as error:
        raise SimulationError(
            f"task {name!r} needs {error.name}: install the [sim] extra, `pip install '.[sim]'`"
        ) from error
