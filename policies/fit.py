"""Whether a policy and the robot it is to drive belong together, and what does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from samg_ros.errors import CheckpointError
from samg_ros.robot import PolicySpec

_LEAST_BLACK = 0.005
"""A frame with a smaller share of wholly black pixels was not masked. Every task's targets leave
at least a tenth of the picture free, masks with the worst faults included."""


@dataclass(frozen=True)
class Robot:
    """What a policy is to be wired to; what is empty is not compared.

    ``camera``: name of the camera; ``mask``: what its pictures are, see ``PolicySpec.mask``;
    ``joints``: those that ``joint_states`` carries; ``commanded``: those that take commands of
    ``command_mode``.
    """

    camera: str = ""
    mask: str = ""
    joints: Sequence[str] = ()
    commanded: Sequence[str] = ()
    command_mode: str = ""


def check_fit(spec: PolicySpec, robot: Robot, name: str) -> None:
    """Compare a policy's specification with the robot's.

    :param name: of the policy, for the message.
    :raises CheckpointError: it says everything that does not match.
    """
    if reasons := _differences(spec, robot):
        raise CheckpointError(f"policy {name!r} does not fit: {'; '.join(reasons)}")


def picture_doubts(spec: PolicySpec, rgb: np.ndarray, frame_id: str) -> list[str]:
    """What about a first frame suggests that the wrong topic is wired; it may yet be meant so.

    :param rgb: uint8 [H, W, 3]. :param frame_id: of the frame's header.
    """
    doubts = []
    if spec.mask == "targets" and (rgb.max(axis=2) == 0).mean() < _LEAST_BLACK:
        doubts.append(
            "the frames do not look masked, and the policy learned from masked ones: is the "
            "masker's image wired to 'image'?"
        )
    if frame_id and frame_id != spec.camera:
        doubts.append(
            f"the frames come from {frame_id!r}, and the policy learned from {spec.camera!r}"
        )
    return doubts


def _differences(spec: PolicySpec, robot: Robot) -> list[str]:
    found = []
    if robot.camera and robot.camera != spec.camera:
        found.append(f"the camera is {robot.camera!r}, it was trained on {spec.camera!r}")
    if robot.mask and robot.mask != spec.mask:
        found.append(f"the pictures' mask is {robot.mask!r}, it was trained on {spec.mask!r}")
    if robot.joints and (missing := [n for n in spec.joint_names if n not in robot.joints]):
        found.append(f"joint_states has no {', '.join(missing)}")
    if robot.commanded:
        missing = [name for name in spec.actuated_joints if name not in robot.commanded]
        left = [name for name in robot.commanded if name not in spec.actuated_joints]
        if missing:
            found.append(f"it commands {', '.join(missing)}, which the robot does not take")
        if left:
            found.append(f"it does not command {', '.join(left)}")
    if robot.command_mode and robot.command_mode != spec.command_mode:
        found.append(f"the robot takes {robot.command_mode}, it commands {spec.command_mode}")
    return found
