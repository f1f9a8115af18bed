"""Position commands told as offsets from where the joints are.

Where one control step moves a joint by a small part of its range, a network that names targets
spends its accuracy on the range. Told as offsets they fill the network's outputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from policies.base import PolicySpec
from samg_ros.commands import as_action
from samg_ros.errors import ConfigError

_LEAST_SCALE = 1e-3  # of an action's unit: a joint that the teacher never moved


@dataclass(frozen=True)
class JointOffsets:
    """Between a task's actions and offsets in [-1, 1] of the actuated joints.

    :param actuated: of each action its joint's index among the policy's joint positions.
    :param low: least commands, :param high: greatest commands, rad or m.
    :param scale: what an offset of 1 is, in action units, by joint.
    """

    actuated: tuple[int, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    scale: tuple[float, ...]

    @classmethod
    def of(cls, spec: PolicySpec, scale: tuple[float, ...]) -> JointOffsets:
        """The offsets of a policy.

        :raises ConfigError: see :meth:`check`; or ``scale`` has another length or is not positive.
        """
        cls.check(spec)
        if len(scale) != len(spec.actuated_joints) or any(not value > 0 for value in scale):
            raise ConfigError(
                f"{spec.task}: offsets need a positive scale for each of "
                f"{len(spec.actuated_joints)} joints"
            )
        actuated = tuple(spec.joint_names.index(name) for name in spec.actuated_joints)
        return cls(actuated, spec.command_low, spec.command_high, scale)

    @staticmethod
    def check(spec: PolicySpec) -> None:
        """:raises ConfigError: the commands are no positions of joints that the policy sees."""
        unseen = [name for name in spec.actuated_joints if name not in spec.joint_names]
        if spec.command_mode != "position" or unseen:
            raise ConfigError(
                f"{spec.task}: offsets from joint positions need position commands for joints "
                f"that the policy sees; its commands are of {spec.command_mode}"
                + (f", unseen are {', '.join(unseen)}" if unseen else "")
            )

    @classmethod
    def fit(cls, spec: PolicySpec, actions: np.ndarray, joints: np.ndarray) -> JointOffsets:
        """Scaled so that the farthest of ``actions``, float [N, A], from ``joints``, [N, J], is 1.

        :raises ConfigError: see :meth:`of`.
        """
        raw = cls.of(spec, (1.0,) * len(spec.actuated_joints))
        farthest = np.abs(actions - raw._present(joints)).max(axis=0)
        return cls.of(spec, tuple(map(float, np.maximum(farthest, _LEAST_SCALE))))

    def offset(self, action: np.ndarray, joints: np.ndarray) -> np.ndarray:
        """:param action: float [..., A] in [-1, 1]. :param joints: float [..., J], rad or m.

        :return: float32 [..., A], clipped to [-1, 1].
        """
        offset = (action - self._present(joints)) / np.asarray(self.scale)
        return np.clip(offset, -1, 1).astype(np.float32)

    def action(self, offset: np.ndarray, joints: np.ndarray) -> np.ndarray:
        """Inverse of :meth:`offset`: float32 [..., A], clipped to [-1, 1]."""
        action = self._present(joints) + offset * np.asarray(self.scale)
        return np.clip(action, -1, 1).astype(np.float32)

    def _present(self, joints: np.ndarray) -> np.ndarray:
        """The action whose command is where the joints are; beyond [-1, 1] past their limits."""
        return as_action(joints[..., list(self.actuated)], self.low, self.high)
