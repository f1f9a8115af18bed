"""The full state of the arm tasks, as numbers for a teacher and as poses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sim_bridge.tasks.arm.panda import ARM_JOINTS, FINGER_JOINTS, TCP

PEG = "peg"
_JOINTS = len(ARM_JOINTS) + len(FINGER_JOINTS)
_PARTS = (_JOINTS, _JOINTS, 3, 4, 3, 4, 1)
_ENDS = np.cumsum(_PARTS)


@dataclass(frozen=True)
class ArmState:
    """Poses are in the world. Rotations are float64 [3, 3]; their columns are the body's axes.

    ``joints``: float64 [9], seven angles in rad, two fingers in m; ``speeds``: float64 [9].
    ``finger_target``: where the gripper's drive is sent, m.
    """

    joints: np.ndarray
    speeds: np.ndarray
    tcp: np.ndarray
    tcp_rotation: np.ndarray
    peg: np.ndarray
    peg_rotation: np.ndarray
    finger_target: float

    @classmethod
    def now(cls, data: Any) -> ArmState:
        """:param data: ``mujoco.MjData`` of the scene, after ``mj_forward``."""
        tcp, peg = data.site(TCP), data.body(PEG)
        return cls(
            joints=data.qpos[:_JOINTS].copy(),
            speeds=data.qvel[:_JOINTS].copy(),
            tcp=tcp.xpos.copy(),
            tcp_rotation=tcp.xmat.reshape(3, 3).copy(),
            peg=peg.xpos.copy(),
            peg_rotation=peg.xmat.reshape(3, 3).copy(),
            finger_target=float(data.ctrl[-1]),
        )

    @classmethod
    def from_vector(cls, vector: np.ndarray) -> ArmState:
        """The inverse of :meth:`vector`."""
        joints, speeds, tcp, tcp_quat, peg, peg_quat, target = np.split(vector, _ENDS[:-1])
        return cls(
            joints=joints,
            speeds=speeds,
            tcp=tcp,
            tcp_rotation=_matrix(tcp_quat),
            peg=peg,
            peg_rotation=_matrix(peg_quat),
            finger_target=float(target[0]),
        )

    def vector(self) -> np.ndarray:
        """:return: float64 [33]: joints, speeds, position and quaternion (w, x, y, z) of gripper
        and of peg, the finger's target."""
        return np.concatenate(
            [
                self.joints,
                self.speeds,
                self.tcp,
                _quaternion(self.tcp_rotation),
                self.peg,
                _quaternion(self.peg_rotation),
                [self.finger_target],
            ]
        )


def _matrix(quaternion: np.ndarray) -> np.ndarray:
    import mujoco

    matrix = np.zeros(9)
    mujoco.mju_quat2Mat(matrix, quaternion)
    return matrix.reshape(3, 3)


def _quaternion(matrix: np.ndarray) -> np.ndarray:
    import mujoco

    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, matrix.ravel())
    return quaternion
