"""The contract of a policy, and what it is given to see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from samg_ros.robot import Mask, PolicySpec

if TYPE_CHECKING:
    from sim_bridge.task import TaskSpec


@dataclass(frozen=True)
class Observation:
    """What a policy sees at one control step.

    ``image``: uint8 [H, W, 3] RGB at the camera's size; the policy resizes and stacks by itself.
    ``joints``: float32 [J], rad or m, in the order of ``PolicySpec.joint_names``.
    """

    image: np.ndarray
    joints: np.ndarray


def policy_spec(
    task: TaskSpec, *, image_size: int, frame_stack: int, mask: Mask = "targets"
) -> PolicySpec:
    """What a policy for a simulated task needs: its default camera and the robot's joints.

    :param image_size: side of the camera image in pixels. :param mask: see :class:`PolicySpec`.
    """
    return PolicySpec(
        task=task.name,
        camera=task.default_camera,
        image_size=image_size,
        frame_stack=frame_stack,
        joint_names=task.proprioception,
        actuated_joints=task.actuated_joints,
        command_mode=task.command_mode,
        command_low=task.command_low,
        command_high=task.command_high,
        control_dt_s=task.control_dt_s,
        mask=mask,
    )


class Policy(Protocol):
    """Maps observations to actions. Stateful in its frame stack only."""

    spec: PolicySpec

    def reset(self) -> None:
        """Forget earlier frames: the next observation starts a new stack."""
        ...

    def act(self, observation: Observation) -> np.ndarray:
        """:return: float32 [A] in [-1, 1]."""
        ...
