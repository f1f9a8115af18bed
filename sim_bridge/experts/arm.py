"""The scripted expert of the arm tasks: it stands the peg up from the full state.

It grips the peg near the end that is farther from the robot, so loosely that the peg swings down
about the fingers while it is lifted (as it does for ManiSkill3's own motion planner), then grips
it hard, turns the hand for the rest of the angle and sets the peg down. It is a function of the
state alone, so it can teach: wherever a learner has got to, it says how to go on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from samg_ros.robot import command_to_action
from sim_bridge.tasks.arm.control import (
    CONTROL_DT_S,
    FINGER_STEP_M,
    TCP_STEP_M,
    TCP_STEP_RAD,
    JointTargets,
    TcpKinematics,
    TcpVelocities,
    limited,
    rotation_matrix,
    rotation_vector,
    together,
)
from sim_bridge.tasks.arm.panda import ARM_JOINTS
from sim_bridge.tasks.arm.scene import PEG_HALF_LENGTH, build_arm_scene
from sim_bridge.tasks.arm.state import ArmState

# What the expert can drive: task -> whether in joint targets, else in velocities of the gripper.
SCRIPTED_TASKS = {"arm_lift_peg_upright": True, "arm_lift_peg_upright_ee": False}

_UP = np.array([0.0, 0.0, 1.0])
_GRIP_M = 0.095  # from the peg's middle; further out the fingers hold less of it
_HOVER_M = 0.07  # above the grip while the hand is not yet over it
_CLEAR_M = 0.025  # under the hanging peg
_OPEN, _LOOSE, _HARD = 0.04, 0.016, 0.0  # the finger's targets; the peg is 0.025 thick
_HELD = (0.02, 0.03)  # where the fingers are when there is a peg between them
_LIFT_STEP_M, _SINK_STEP_M = 0.05, 0.04
_SWUNG_RAD = 0.65  # so near to upright that the hand can do the rest
_UPRIGHT_RAD = 0.06
_SINKING_RAD = (0.05, 0.2)  # from here on it is set down: wholly, and not at all
_HAND_PITCH_RAD = (-0.3, 0.7)  # what the wrist reaches everywhere; 0 points down, 1.57 forward


@dataclass(frozen=True)
class Move:
    """Where to send the gripper from where it is: ``step`` float64 [3], m, ``turn`` float64 [3],
    a rotation vector in rad, both in the world; and the finger's target, m."""

    step: np.ndarray
    turn: np.ndarray
    finger: float


class ArmExpert:
    """A :class:`sim_bridge.experts.state.Teacher` that needs no training.

    :param task: a key of ``SCRIPTED_TASKS``.
    """

    def __init__(self, task: str) -> None:
        self._kinematics = TcpKinematics(build_arm_scene()) if SCRIPTED_TASKS[task] else None

    def label(self, state: np.ndarray) -> np.ndarray:
        """:param state: float64 [33], ``StepResult.state``. :return: float32 [A] in [-1, 1]."""
        now = ArmState.from_vector(state)
        move = plan(now)
        step, turn = limited(move.step, TCP_STEP_M), limited(move.turn, TCP_STEP_RAD)
        if self._kinematics:
            joints = now.joints[: len(ARM_JOINTS)]
            turned = rotation_matrix(turn) @ now.tcp_rotation
            goal = self._kinematics.solve(joints, now.tcp + step, turned)
            commands = JointTargets.commands
            values = np.array([*together(joints, goal), move.finger])
        else:
            finger = np.clip(move.finger - now.finger_target, -FINGER_STEP_M, FINGER_STEP_M)
            commands = TcpVelocities.commands
            values = np.array([*step, *turn, finger]) / CONTROL_DT_S
        action = command_to_action(values, commands.low, commands.high)
        return action.astype(np.float32)


def plan(now: ArmState) -> Move:
    """What to do next."""
    axis = _axis(now)
    offset = now.tcp - now.peg
    along = float(offset @ axis)
    beside = np.linalg.norm(offset - along * axis)
    between_fingers = beside < 0.04 and 0.02 < along < 0.14
    if between_fingers and _HELD[0] < now.joints[-2] < _HELD[1]:
        return _raise(now, axis, along)
    if axis[2] > np.cos(_UPRIGHT_RAD) and now.peg[2] < PEG_HALF_LENGTH + 0.005:
        return Move(np.zeros(3), np.zeros(3), _OPEN)  # it stands: leave it alone
    return _grip(now, axis)


def _axis(now: ArmState) -> np.ndarray:
    """The peg's long axis toward the end to be gripped: the upper, of a lying peg the far one."""
    axis = now.peg_rotation[:, 0]
    towards = axis[2] if abs(axis[2]) > 0.2 else axis[0]
    return axis if towards >= 0 else -axis


def _grip(now: ArmState, axis: np.ndarray) -> Move:
    level = np.array([axis[0], axis[1], 0.0])
    length = float(np.linalg.norm(level))
    heading = level / length if length > 0.05 else np.array([1.0, 0.0, 0.0])
    to_grip = now.peg + _GRIP_M * axis - now.tcp
    turn = _turn_to(now, heading, pitch=0.0)
    ahead, aside = abs(to_grip @ heading), abs(to_grip @ np.cross(_UP, heading))
    if aside < 0.012 and ahead < 0.025 and abs(to_grip[2]) < 0.012:
        return Move(to_grip, turn, _LOOSE)
    if now.joints[-2] < 0.031:  # the fingers must be open before they go down
        return Move(0.03 * _UP, np.zeros(3), _OPEN)
    step = to_grip + _hover(ahead, aside, turn) * _UP
    # Too low, it goes up before it goes on, or the fingers would push the peg.
    step[:2] *= np.clip(1 - step[2] / 0.03, 0, 1)
    return Move(1.3 * step, turn, _OPEN)


def _hover(ahead: float, aside: float, turn: np.ndarray) -> float:
    """Height above the grip, m: the lower, the better the fingers are aligned with the peg.

    A funnel and not a threshold, or a learner that sees a little less well than the expert would
    stand still where half of what it was commanded was *up* and half *down*.
    """
    off = max(aside - 0.008, ahead - 0.03, 0.1 * (float(np.linalg.norm(turn)) - 0.15), 0.0)
    return min(_HOVER_M, 3 * off)


def _raise(now: ArmState, axis: np.ndarray, along: float) -> Move:
    """With the peg between the fingers, ``along`` from its middle."""
    heading = np.cross(now.tcp_rotation[:, 1], -_UP)
    heading /= np.linalg.norm(heading)
    lean = np.arctan2(axis @ heading, axis[2])
    hand_x = now.tcp_rotation[:, 0]
    pitch = np.arctan2(hand_x[2], hand_x @ heading)
    rise = along + PEG_HALF_LENGTH + _CLEAR_M - now.tcp[2]
    lift = np.clip(0.6 * rise, -_SINK_STEP_M, _LIFT_STEP_M) * _UP
    if abs(lean) > _SWUNG_RAD or rise > _LIFT_STEP_M:
        return Move(lift, _turn_to(now, heading, pitch), _LOOSE)
    turn = _turn_to(now, heading, pitch + lean)
    down = PEG_HALF_LENGTH - 0.002 - now.peg[2]  # a little too far: the table ends it
    share = np.clip((_SINKING_RAD[1] - abs(lean)) / (_SINKING_RAD[1] - _SINKING_RAD[0]), 0, 1)
    return Move((1 - share) * lift + share * np.clip(down, -0.05, 0.05) * _UP, turn, _HARD)


def _turn_to(now: ArmState, heading: np.ndarray, pitch: float) -> np.ndarray:
    """The turn to a hand that points down and ``pitch`` toward ``heading``."""
    pitch = np.clip(pitch, *_HAND_PITCH_RAD)
    x = np.cos(pitch) * heading + np.sin(pitch) * _UP
    z = np.sin(pitch) * heading - np.cos(pitch) * _UP
    return rotation_vector(np.stack([x, np.cross(z, x), z], axis=1) @ now.tcp_rotation.T)
