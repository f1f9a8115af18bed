"""LiftPegUpright of ManiSkill3 (Tao et al. 2024, arXiv 2410.00425), ported to MuJoCo.

A Panda stands a peg upright that lies on a table. Geometry, reset, reward, success, drives and
camera are ManiSkill3's; what differs is said where it is defined.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from sim_bridge.task import tasks
from sim_bridge.tasks.arm.control import CONTROL_DT_S, ArmControl, JointTargets, TcpVelocities
from sim_bridge.tasks.arm.panda import (
    ARM_JOINTS,
    FINGER_JOINTS,
    FINGER_LIMITS,
    FINGERS,
    TIMESTEP_S,
)
from sim_bridge.tasks.arm.scene import CAMERA, PEG_HALF_LENGTH, PEG_HALF_WIDTH, build_arm_scene
from sim_bridge.tasks.arm.state import PEG, ArmState
from sim_bridge.tasks.mujoco_task import MujocoTask

EPISODE_STEPS = 100
"""5 s. ManiSkill3 ends episodes after 50 steps, which are enough for the shipped expert (median
35); the second half is for learners, who drop the peg and try again."""

_REST = np.array([0, np.pi / 8, 0, -5 * np.pi / 8, 0, 3 * np.pi / 4, np.pi / 4])
_REST_NOISE_RAD = 0.02
_PEG_RANGE_M = 0.1
_LYING = (np.sqrt(0.5), np.sqrt(0.5), 0, 0)  # a quarter turn about its own axis, which is x

_UPRIGHT_RAD, _STANDING_M = 0.08, 0.005
_GRASP_N, _GRASP_DEG = 0.5, 85.0


class ArmTask(MujocoTask):
    """Lift a peg upright; see the module.

    ``state`` is :meth:`sim_bridge.tasks.arm.state.ArmState.vector`. ``joint_states`` has the nine
    joints; where the peg lies is not among them. ``success`` stays True once the peg stood.

    :param control: how commands are meant, made from the model.
    """

    def __init__(
        self,
        *,
        name: str,
        control: Callable[[Any], ArmControl],
        height: int,
        width: int,
        shadows: bool,
    ) -> None:
        model = build_arm_scene()
        import mujoco

        self._control = control(model)
        self._substeps = round(CONTROL_DT_S / TIMESTEP_S)
        super().__init__(
            name=name,
            model=model,
            data=mujoco.MjData(model),
            commands=self._control.commands,
            sim_dt_s=CONTROL_DT_S,
            action_repeat=1,
            episode_steps=EPISODE_STEPS,
            default_camera=CAMERA,
            bodies={"arm": "panda0_link0", "peg": PEG},
            sites={},
            height=height,
            width=width,
            shadows=shadows,
            proprioception=(*ARM_JOINTS, *FINGER_JOINTS),
        )

    def _restart(self, seed: int) -> tuple[np.ndarray, bool]:
        import mujoco

        rng = np.random.default_rng(seed)
        arm = _REST + rng.normal(0, _REST_NOISE_RAD, _REST.shape)
        peg = rng.uniform(-_PEG_RANGE_M, _PEG_RANGE_M, 2)
        mujoco.mj_resetData(self._model, self._data)
        open_ = FINGER_LIMITS[1]
        self._data.qpos[:] = (*arm, open_, open_, *peg, PEG_HALF_WIDTH, *_LYING)
        self._data.ctrl[:] = (*arm, open_)
        mujoco.mj_forward(self._model, self._data)
        return ArmState.now(self._data).vector(), False

    def _advance(self, command: np.ndarray) -> tuple[np.ndarray, float, bool]:
        import mujoco

        self._data.ctrl[:] = self._control.targets(self._data, command)
        mujoco.mj_step(self._model, self._data, self._substeps)
        # Poses and contacts of the last step are those before it: renew them.
        mujoco.mj_forward(self._model, self._data)
        state = ArmState.now(self._data)
        success = _stands(state)
        reward = 1.0 if success else self._reward(state)
        return state.vector(), reward, success

    def _reward(self, state: ArmState) -> float:
        """ManiSkill3's dense reward of a peg that does not stand, divided by its greatest, 3."""
        rotation = abs(state.peg_rotation[2, 0])
        height = 1 - np.tanh(5 * abs(state.peg[2] - PEG_HALF_LENGTH))
        distance = np.linalg.norm(state.peg - state.tcp)
        reach = 1.0 if self._grasped() else 1 - np.tanh(5 * distance)
        return float(rotation + height + reach / 5) / 3

    def _grasped(self) -> bool:
        """Each finger is pushed outwards by the peg."""
        forces = self._forces_of_peg()
        for finger, side in zip(FINGERS, (1, -1), strict=True):
            force = forces[self._model.body(finger).id]
            strength = np.linalg.norm(force)
            outwards = side * self._data.body(finger).xmat.reshape(3, 3)[:, 1]
            least = np.cos(np.radians(_GRASP_DEG)) * strength
            if strength < _GRASP_N or force @ outwards < least:
                return False
        return True

    def _forces_of_peg(self) -> np.ndarray:
        """What the peg does to each body that it touches, float64 [bodies, 3], N."""
        import mujoco

        forces, wrench = np.zeros((self._model.nbody, 3)), np.zeros(6)
        peg = self._model.geom(PEG).id
        for i, contact in enumerate(self._data.contact):
            if peg not in contact.geom:
                continue
            mujoco.mj_contactForce(self._model, self._data, i, wrench)
            # MuJoCo gives what the first geom does to the second, in the contact's own axes.
            force = contact.frame.reshape(3, 3).T @ wrench[:3]
            first, second = self._model.geom_bodyid[contact.geom]
            if contact.geom[0] == peg:
                forces[second] += force
            else:
                forces[first] -= force
        return forces


def _stands(state: ArmState) -> bool:
    # The third of the intrinsic angles x, y, z.
    angle = np.arctan2(-state.peg_rotation[0, 1], state.peg_rotation[0, 0])
    upright = abs(abs(angle) - np.pi / 2) < _UPRIGHT_RAD
    return bool(upright and abs(state.peg[2] - PEG_HALF_LENGTH) < _STANDING_M)


def _register(name: str, control: Callable[[Any], ArmControl]) -> None:
    tasks.register(name)(partial(ArmTask, name=name, control=control))


_register("arm_lift_peg_upright", JointTargets)
_register("arm_lift_peg_upright_ee", TcpVelocities)
