"""What all MuJoCo tasks share: spec from the model, checks, action repeat, episodes, pictures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from samg_ros.errors import SimulationError
from sim_bridge.render.parts import parts_of
from sim_bridge.task import JointState, StepResult, TaskSpec, check_seed
from sim_bridge.tasks.model_joints import Commands, ModelJoints

if TYPE_CHECKING:
    from sim_bridge.render.stage import Edit


class MujocoTask(ABC):
    """A :class:`sim_bridge.task.Task` on a MuJoCo model; a subclass resets and advances it.

    :param model: ``mujoco.MjModel``; ``data``: its ``mujoco.MjData``. ``joint_names`` are those
        of :class:`sim_bridge.tasks.model_joints.ModelJoints`: a free joint is not among them.
    :param commands: what can be commanded, and within which limits.
    :param proprioception: the robot's joints; what is commanded where None.
    :param sim_dt_s: simulated time of one :meth:`_advance`.
    :param tells_success: False for a task that only has a return.
    :param bodies: target name -> body, and ``sites``: target name -> site; see
        :class:`sim_bridge.render.renderer.TaskRenderer`.
    :raises SimulationError: the size or the OpenGL context cannot be used.
    """

    def __init__(
        self,
        *,
        name: str,
        model: Any,
        data: Any,
        commands: Commands,
        sim_dt_s: float,
        action_repeat: int,
        episode_steps: int,
        default_camera: str,
        bodies: Mapping[str, str],
        sites: Mapping[str, str],
        height: int,
        width: int,
        shadows: bool,
        tells_success: bool = True,
        proprioception: tuple[str, ...] | None = None,
    ) -> None:
        from sim_bridge.render.renderer import TaskRenderer

        self._model, self._data = model, data
        self._renderer = TaskRenderer(
            model, data, bodies=bodies, sites=sites, height=height, width=width, shadows=shadows
        )
        self._joints = ModelJoints(model)
        self.spec = TaskSpec(
            name=name,
            actuated_joints=commands.names,
            command_mode=commands.mode,
            command_low=commands.low,
            command_high=commands.high,
            joint_names=self._joints.names,
            proprioception=proprioception or commands.names,
            cameras=self._renderer.cameras,
            default_camera=default_camera,
            targets=(*bodies, *sites),
            control_dt_s=sim_dt_s * action_repeat,
            action_repeat=action_repeat,
            episode_steps=episode_steps,
            tells_success=tells_success,
            joint_units=self._joints.units,
            joint_limits=self._joints.limits,
        )
        self._steps_done = episode_steps  # no episode yet: step() asks for a reset
        self._success: bool | None = None

    @property
    def model(self) -> Any:
        """The ``mujoco.MjModel``; not to be written to."""
        return self._model

    @property
    def data(self) -> Any:
        """The ``mujoco.MjData`` as it is now; not to be written to."""
        return self._data

    @abstractmethod
    def _restart(self, seed: int) -> tuple[np.ndarray, bool | None]:
        """Begin the episode of ``seed``. :return: state float64 [S], success."""

    @abstractmethod
    def _advance(self, command: np.ndarray) -> tuple[np.ndarray, float, bool | None]:
        """One simulator step. :param command: float64 [A], within the limits.

        :return: state float64 [S], reward, success now.
        """

    def reset(self, seed: int) -> StepResult:
        """:raises SimulationError: ``seed`` is not in 0 .. 2**32 - 1."""
        check_seed(seed)
        state, self._success = self._restart(seed)
        self._steps_done = 0
        return self._result(state, reward=0.0)

    def step(self, command: np.ndarray) -> StepResult:
        """Apply ``command`` for ``spec.action_repeat`` simulator steps; rewards are summed.

        :param command: float [A], in rad, rad/s or N m; clipped to the limits.
        :raises SimulationError: wrong shape, NaN or infinite values, or the episode is over.
        """
        command = self._checked(command)
        reward = 0.0
        for _ in range(self.spec.action_repeat):
            state, sub_reward, success = self._advance(command)
            reward += sub_reward
            self._success = self._success or success
        self._steps_done += 1
        return self._result(state, reward)

    def joint_state(self) -> JointState:
        return JointState(
            position=self._joints.position(self._data),
            velocity=self._joints.velocity(self._data),
        )

    def render(self, camera: str | None = None) -> np.ndarray:
        """:return: uint8 [H, W, 3]. :raises SimulationError: unknown camera, or closed."""
        return self._renderer.rgb(camera or self.spec.default_camera)

    def depth(self, camera: str | None = None) -> np.ndarray:
        """:return: float32 [H, W], m along the camera's axis; infinite where nothing is.

        :raises SimulationError: as :meth:`render`.
        """
        return self._renderer.depth(camera or self.spec.default_camera)

    def segmentation(self, camera: str | None = None) -> np.ndarray:
        """:return: uint8 [H, W] target ids. :raises SimulationError: as :meth:`render`."""
        return self._renderer.segmentation(camera or self.spec.default_camera)

    def backdrop(self, camera: str | None = None) -> np.ndarray:
        """:return: bool [H, W]. :raises SimulationError: as :meth:`render`."""
        beyond = parts_of(self.spec.name).beyond_floor()
        return self._renderer.backdrop(camera or self.spec.default_camera, beyond)

    @property
    def look(self) -> tuple[Edit, ...]:
        """What changes the pictures; nothing at first."""
        return self._renderer.look

    @look.setter
    def look(self, edits: tuple[Edit, ...]) -> None:
        self._renderer.look = edits

    def camera_fovy_rad(self, camera: str | None = None) -> float:
        """:return: vertical field of view. :raises SimulationError: unknown camera."""
        return self._renderer.fovy_rad(camera or self.spec.default_camera)

    def close(self) -> None:
        """Free the renderer; closing twice does nothing."""
        self._renderer.close()

    def _checked(self, command: np.ndarray) -> np.ndarray:
        name, size = self.spec.name, self.spec.action_size
        command = np.asarray(command, dtype=np.float64)
        if command.shape != (size,):
            raise SimulationError(
                f"{name}: a command has shape ({size},), one value for each of "
                f"spec.actuated_joints; got {command.shape}"
            )
        if not np.isfinite(command).all():
            joint = self.spec.actuated_joints[int(np.argmin(np.isfinite(command)))]
            raise SimulationError(f"{name}: the command for joint {joint!r} is NaN or infinite")
        if self._steps_done >= self.spec.episode_steps:
            raise SimulationError(f"{name}: no episode is running; call reset(seed) before step")
        return np.clip(command, *self.spec.command_limits)

    def _result(self, state: np.ndarray, reward: float) -> StepResult:
        return StepResult(
            state=state,
            reward=reward,
            success=self._success,
            step=self._steps_done,
            time_s=float(self._data.time),
            done=self._steps_done >= self.spec.episode_steps,
        )
