"""How the arm is commanded: joint position targets, or velocities of its gripper.

The latter need the gripper's kinematics, which are here too.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from sim_bridge.tasks.arm.panda import (
    ARM_JOINTS,
    ARM_LAG_S,
    ARM_LIMITS,
    ARM_SPEEDS,
    FINGER_JOINTS,
    FINGER_LIMITS,
    TCP,
)
from sim_bridge.tasks.model_joints import Commands

_LOW, _HIGH = np.array(ARM_LIMITS).T
_MAX_ITERATIONS = 20
_DAMPING = 0.05  # of the least squares; m and rad a rad
_CLOSE_ENOUGH = 1e-4  # m and rad


class TcpKinematics:
    """Forward and inverse kinematics of the gripper's site.

    :param model: ``mujoco.MjModel`` whose first joints are the arm's.
    """

    def __init__(self, model: Any) -> None:
        import mujoco

        self._model, self._data = model, mujoco.MjData(model)
        self._site = model.site(TCP).id

    def pose(self, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """:param joints: float64 [7], rad. :return: position [3], m, and rotation [3, 3]."""
        import mujoco

        self._data.qpos[: len(ARM_JOINTS)] = joints
        mujoco.mj_kinematics(self._model, self._data)
        rotation = self._data.site_xmat[self._site].reshape(3, 3)
        return self._data.site_xpos[self._site].copy(), rotation.copy()

    def solve(self, joints: np.ndarray, position: np.ndarray, rotation: np.ndarray) -> np.ndarray:
        """Damped least squares (Wampler 1986) from ``joints`` on, within the joint limits.

        :return: float64 [7], rad; what comes nearest where the pose cannot be reached.
        """
        joints = joints.copy()
        for _ in range(_MAX_ITERATIONS):
            here, turned = self.pose(joints)
            error = np.concatenate([position - here, rotation_vector(rotation @ turned.T)])
            if np.abs(error).max() < _CLOSE_ENOUGH:
                break
            jacobian = self._jacobian()
            damped = jacobian @ jacobian.T + _DAMPING**2 * np.eye(6)
            step = jacobian.T @ np.linalg.solve(damped, error)
            joints = np.clip(joints + step, _LOW, _HIGH)
        return joints

    def _jacobian(self) -> np.ndarray:
        """Of the pose that was computed last, float64 [6, 7]."""
        import mujoco

        jacobian = np.zeros((6, self._model.nv))
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_jacSite(self._model, self._data, jacobian[:3], jacobian[3:], self._site)
        return jacobian[:, : len(ARM_JOINTS)]


def rotation_vector(rotation: np.ndarray) -> np.ndarray:
    """:param rotation: float64 [3, 3]. :return: its axis times its angle, float64 [3], rad."""
    import mujoco

    quat, vector = np.zeros(4), np.zeros(3)
    mujoco.mju_mat2Quat(quat, rotation.ravel())
    mujoco.mju_quat2Vel(vector, quat, 1.0)
    return vector


def rotation_matrix(vector: np.ndarray) -> np.ndarray:
    """The inverse of :func:`rotation_vector`. :return: float64 [3, 3]."""
    import mujoco

    angle = float(np.linalg.norm(vector))
    axis = vector / angle if angle > 0 else np.array([1.0, 0, 0])
    quat, matrix = np.zeros(4), np.zeros(9)
    mujoco.mju_axisAngle2Quat(quat, axis, angle)
    mujoco.mju_quat2Mat(matrix, quat)
    return matrix.reshape(3, 3)


def limited(vector: np.ndarray, greatest: float) -> np.ndarray:
    """``vector``, shortened to the length ``greatest`` where it is longer."""
    return vector * min(1.0, greatest / max(float(np.linalg.norm(vector)), 1e-12))


CONTROL_DT_S = 0.05
TCP_STEP_M, TCP_STEP_RAD = 0.1, 0.1
"""The farthest that the gripper is sent in one control step, as ManiSkill3's pd_ee_delta_pose."""
FINGER_STEP_M = 0.01
"""The farthest that a finger is sent in one control step: the real gripper's 0.2 m/s."""

FARTHEST_FOLLOWED_RAD = np.array(ARM_SPEEDS) * ARM_LAG_S
"""A target that is farther from its joint finds the drive at its limit."""

_LOW, _HIGH = np.array(ARM_LIMITS).T


class ArmControl(Protocol):
    """Turns commands into the targets of the model's eight drives."""

    commands: Commands

    def targets(self, data: Any, command: np.ndarray) -> np.ndarray:
        """:param data: ``mujoco.MjData`` now; its ``ctrl`` holds the last targets.
        :param command: float64 [A] within the limits of ``commands``.
        :return: float64 [8], seven joint angles in rad and a finger's place in m.
        """
        ...


class JointTargets:
    """A position target for each joint, and for the gripper, as ManiSkill3's ``pd_joint_pos``."""

    commands = Commands(
        names=(*ARM_JOINTS, FINGER_JOINTS[0]),
        mode="position",
        low=(*_LOW.tolist(), FINGER_LIMITS[0]),
        high=(*_HIGH.tolist(), FINGER_LIMITS[1]),
    )

    def __init__(self, model: Any) -> None:
        """:param model: not needed; both kinds of control are made alike."""

    def targets(self, data: Any, command: np.ndarray) -> np.ndarray:
        """:return: the command itself."""
        return command


class TcpVelocities:
    """A twist of the gripper in the axes of the robot's base, and the speed of a finger.

    The arm is sent to where this speed would bring the gripper in one control step from where it
    is now, as ManiSkill3's ``pd_ee_delta_pose``; the drives lag, so it goes about 0.4 of the way.
    Nothing but zeros holds the last joint targets. The finger's speed moves its last target, so
    a grip keeps its force (ManiSkill3 sets that target itself).
    """

    _FASTEST = tuple(
        step / CONTROL_DT_S for step in (*[TCP_STEP_M] * 3, *[TCP_STEP_RAD] * 3, FINGER_STEP_M)
    )
    commands = Commands(
        names=(
            *(f"{TCP}_linear_{axis}" for axis in "xyz"),
            *(f"{TCP}_angular_{axis}" for axis in "xyz"),
            FINGER_JOINTS[0],
        ),
        mode="velocity",
        low=tuple(-fastest for fastest in _FASTEST),
        high=_FASTEST,
    )

    def __init__(self, model: Any) -> None:
        """:param model: ``mujoco.MjModel`` of the scene."""
        self._kinematics = TcpKinematics(model)

    def targets(self, data: Any, command: np.ndarray) -> np.ndarray:
        """:return: joint angles that bring the gripper there, by inverse kinematics."""
        targets = data.ctrl.copy()
        finger = targets[-1] + command[-1] * CONTROL_DT_S
        targets[-1] = np.clip(finger, *FINGER_LIMITS)
        if command[:-1].any():
            joints = data.qpos[: len(ARM_JOINTS)]
            position, rotation = self._kinematics.pose(joints)
            turn = limited(command[3:6] * CONTROL_DT_S, TCP_STEP_RAD)
            goal = self._kinematics.solve(
                joints,
                position + command[:3] * CONTROL_DT_S,
                rotation_matrix(turn) @ rotation,
            )
            targets[:-1] = together(joints, goal)
        return targets


def together(joints: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """A target on the way from ``joints`` to ``goal``, float64 [7], that all drives can follow.

    Nearer than ``goal`` where a drive would be at its limit: the others would not wait for it,
    and the gripper would leave its straight way.
    """
    share = np.abs(goal - joints) / FARTHEST_FOLLOWED_RAD
    return joints + (goal - joints) / max(1.0, float(share.max()))
