"""Which joints of a MuJoCo model the outside sees, and how they are read and commanded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from samg_ros.errors import SimulationError
from samg_ros.robot import CommandMode


@dataclass(frozen=True)
class Commands:
    """What can be commanded: ``names`` with a mode and limits, as in ``RobotSpec``."""

    names: tuple[str, ...]
    mode: CommandMode
    low: tuple[float, ...]
    high: tuple[float, ...]


def actuator_commands(model: Any, mode: CommandMode) -> Commands:
    """One command an actuator, named after the joint or the fixed tendon that it moves.

    :param model: ``mujoco.MjModel`` whose actuators all have control limits.
    :param mode: what the controls mean; ``effort`` is converted to the torque at the joint.
    """
    low, high = model.actuator_ctrlrange.T * control_units(model, mode)
    names = tuple(_moved_by(model, actuator) for actuator in range(model.nu))
    return Commands(names, mode, tuple(low.tolist()), tuple(high.tolist()))


def control_units(model: Any, mode: CommandMode) -> np.ndarray:
    """What a control of 1 is as a command, float64 [actuators].

    A motor's control is multiplied by its gear to give the torque at the joint; a position
    target is one already.
    """
    return model.actuator_gear[:, 0].copy() if mode == "effort" else np.ones(model.nu)


class ModelJoints:
    """The model's hinge and slide joints, then the fixed tendons that have an actuator.

    Such a tendon moves several joints together, as a coupled transmission does; its position is
    the weighted sum of theirs, so it is a joint to the outside (``lift_front_left`` of the
    quadruped). Free and ball joints are left out: no encoder measures where a body floats.
    """

    def __init__(self, model: Any) -> None:
        import mujoco

        scalar_types = (mujoco.mjtJoint.mjJNT_HINGE, mujoco.mjtJoint.mjJNT_SLIDE)
        scalar = np.flatnonzero(np.isin(model.jnt_type, scalar_types))
        tendons = _driven_tendons(model)
        self._qpos, self._qvel = model.jnt_qposadr[scalar], model.jnt_dofadr[scalar]
        self._tendons = np.array([_weights(model, i)[scalar] for i in tendons])
        self.names: tuple[str, ...] = tuple(
            [model.joint(i).name for i in scalar] + [model.tendon(i).name for i in tendons]
        )
        slides = model.jnt_type[scalar] == mujoco.mjtJoint.mjJNT_SLIDE
        lengths = [slides[weights != 0].all() for weights in self._tendons]
        self.units: tuple[str, ...] = tuple(
            "m" if is_length else "rad" for is_length in [*slides, *lengths]
        )
        """rad or m, in the order of ``names``."""
        self.limits: tuple[tuple[float, float], ...] = tuple(
            [_limits(model.jnt_limited[i], model.jnt_range[i]) for i in scalar]
            + [_limits(model.tendon_limited[i], model.tendon_range[i]) for i in tendons]
        )
        """Lowest and highest position, in the order of ``names``; infinite where it is free."""

    def position(self, data: Any) -> np.ndarray:
        """:return: float64 [J] in the order of ``names``, rad or m."""
        return self._with_tendons(data.qpos[self._qpos])

    def velocity(self, data: Any) -> np.ndarray:
        """:return: float64 [J] in the order of ``names``, rad/s or m/s."""
        return self._with_tendons(data.qvel[self._qvel])

    def _with_tendons(self, joints: np.ndarray) -> np.ndarray:
        return np.concatenate([joints, self._tendons @ joints]) if len(self._tendons) else joints


def _limits(limited: bool, ends: np.ndarray) -> tuple[float, float]:
    return (float(ends[0]), float(ends[1])) if limited else (-np.inf, np.inf)


def _moved_by(model: Any, actuator: int) -> str:
    import mujoco

    kinds: dict[int, Callable[[int], Any]] = {
        mujoco.mjtTrn.mjTRN_JOINT: model.joint,
        mujoco.mjtTrn.mjTRN_TENDON: model.tendon,
    }
    kind = int(model.actuator_trntype[actuator])
    if kind not in kinds:
        raise SimulationError(
            f"actuator {model.actuator(actuator).name!r} moves neither a joint nor a tendon: "
            "give the task its own Commands"
        )
    return kinds[kind](int(model.actuator_trnid[actuator, 0])).name


def _driven_tendons(model: Any) -> list[int]:
    import mujoco

    driven = model.actuator_trntype == mujoco.mjtTrn.mjTRN_TENDON
    return sorted(set(model.actuator_trnid[driven, 0].tolist()))


def _weights(model: Any, tendon: int) -> np.ndarray:
    """Coefficients of a fixed tendon, float64 [joints of the model]."""
    first, count = model.tendon_adr[tendon], model.tendon_num[tendon]
    part = slice(first, first + count)
    weights = np.zeros(model.njnt)
    weights[model.wrap_objid[part]] = model.wrap_prm[part]
    return weights
