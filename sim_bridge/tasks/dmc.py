"""DeepMind Control Suite tasks (Tassa et al. 2018, arXiv 1801.00690)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from samg_ros.robot import CommandMode
from sim_bridge.render.renderer import use_backend
from sim_bridge.task import StepResult, tasks
from sim_bridge.tasks.model_joints import actuator_commands, control_units
from sim_bridge.tasks.mujoco_task import MujocoTask

_ACTION_REPEAT = 2
_EPISODE_STEPS = 500  # 1000 simulator steps, the suite's episode
_REFERENCE_SPREAD = 0.05  # rad or m


class DmcTask(MujocoTask):
    """A suite task; there is a return but no success.

    Commands are joint torques in N m, but the quadruped's are position targets in rad: of the yaw
    of each leg and of two couplings of its joints, ``lift`` and ``extend``, which are among
    ``joint_names`` too. Where its torso floats is not: ``joint_states`` leaves its root out.

    ``state`` is the suite's observation, flattened in its own order.

    :param domain: the suite's domain; ``task``: its task. :param mode: what its controls are.
    :param camera: default camera. :param bodies: target name -> body.
    """

    def __init__(
        self,
        *,
        domain: str,
        task: str,
        mode: CommandMode,
        camera: str,
        bodies: Mapping[str, str],
        height: int,
        width: int,
        shadows: bool,
    ) -> None:
        use_backend()
        from dm_control import suite

        self._env = suite.load(domain, task, task_kwargs={"random": 0})
        model = self._env.physics.model.ptr
        self._control_unit = control_units(model, mode)
        super().__init__(
            name=f"{domain}_{task}",
            model=model,
            data=self._env.physics.data.ptr,
            commands=actuator_commands(model, mode),
            sim_dt_s=self._env.control_timestep(),
            action_repeat=_ACTION_REPEAT,
            episode_steps=_EPISODE_STEPS,
            default_camera=camera,
            bodies=bodies,
            sites={},
            height=height,
            width=width,
            shadows=shadows,
            tells_success=False,
        )

    def close(self) -> None:
        super().close()
        self._env.physics.free()

    def reset_near_reference(self, seed: int) -> StepResult:
        """Begin the episode of ``seed`` near the model's reference configuration instead.

        There a robot stands and a pole is upright (reference state initialisation, Peng et al.
        2018, arXiv 1804.02717). Every joint is off by a normal deviate of 0.05 rad or m.

        :raises SimulationError: as :meth:`reset`.
        """
        import mujoco

        self.reset(seed)
        physics = self._env.physics
        offset = self._env.task.random.normal(0, _REFERENCE_SPREAD, physics.model.nv)
        with physics.reset_context():
            mujoco.mj_integratePos(self._model, self._data.qpos, offset, 1)
        return self._result(_flatten(self._env.task.get_observation(physics)), reward=0.0)

    def _restart(self, seed: int) -> tuple[np.ndarray, None]:
        self._env.task.random.seed(seed)
        return _flatten(self._env.reset().observation), None

    def _advance(self, command: np.ndarray) -> tuple[np.ndarray, float, None]:
        time_step = self._env.step(command / self._control_unit)
        return _flatten(time_step.observation), float(time_step.reward), None


def _flatten(observation: Mapping[str, Any]) -> np.ndarray:
    return np.concatenate([np.ravel(value) for value in observation.values()])


# (domain, tasks, controls, camera, target -> body); the camera is the one DMC-GB and SAM-G use.
_SUITE: tuple[tuple[str, tuple[str, ...], CommandMode, str, dict[str, str]], ...] = (
    ("ball_in_cup", ("catch",), "effort", "cam0", {"cup": "cup", "ball": "ball"}),
    ("cartpole", ("balance", "swingup"), "effort", "fixed", {"cartpole": "cart"}),
    ("cheetah", ("run",), "effort", "side", {"cheetah": "torso"}),
    ("finger", ("spin",), "effort", "cam0", {"finger": "proximal", "spinner": "spinner"}),
    ("hopper", ("hop", "stand"), "effort", "cam0", {"hopper": "torso"}),
    ("quadruped", ("walk",), "position", "y", {"quadruped": "torso"}),
    ("walker", ("stand", "walk"), "effort", "side", {"walker": "torso"}),
)

for _domain, _tasks, _mode, _camera, _bodies in _SUITE:
    for _task in _tasks:
        tasks.register(f"{_domain}_{_task}")(
            partial(
                DmcTask, domain=_domain, task=_task, mode=_mode, camera=_camera, bodies=_bodies
            )
        )
