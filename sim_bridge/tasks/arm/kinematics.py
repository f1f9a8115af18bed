"""Where the arm's gripper is for given joint angles, and the other way round."""

from __future__ import annotations

from typing import Any

import numpy as np

from sim_bridge.tasks.arm.panda import ARM_JOINTS, ARM_LIMITS, TCP

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
