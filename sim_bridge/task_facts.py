"""What there is to know of a task before it is run: for people, and for programs as JSON."""

from __future__ import annotations

import math
from dataclasses import dataclass

from samg_ros.commands import CommandMode
from sim_bridge.perturbations import perturbations, supported
from sim_bridge.task import TaskSpec, make_task

_SMALLEST = 16  # px: what a task is made with when nothing is to be seen
_EFFORT = {"rad": "N m", "m": "N"}


@dataclass(frozen=True)
class Axis:
    """A joint's position, or one value of a command. ``low`` and ``high`` are in ``unit``; None
    where there is no limit."""

    name: str
    unit: str
    low: float | None
    high: float | None

    @property
    def range(self) -> str:
        """Low to high, for people."""
        if self.low is None and self.high is None:
            return "free"
        low = "-∞" if self.low is None else f"{self.low:.4g}"
        high = "∞" if self.high is None else f"{self.high:.4g}"
        return f"{low} to {high}"


@dataclass(frozen=True)
class TaskFacts:
    """A registered task. Fields as in :class:`sim_bridge.task.TaskSpec`; ``perturbations`` are
    terms as they are written; ``has_success`` is False where there is only a return."""

    name: str
    command_mode: CommandMode
    actions: tuple[Axis, ...]
    joints: tuple[Axis, ...]
    proprioception: tuple[str, ...]
    control_rate_hz: float
    action_repeat: int
    episode_steps: int
    cameras: tuple[str, ...]
    default_camera: str
    targets: tuple[str, ...]
    has_success: bool
    perturbations: tuple[str, ...]

    @property
    def episode_s(self) -> float:
        """Simulated time of a whole episode."""
        return self.episode_steps / self.control_rate_hz


def task_facts(name: str) -> TaskFacts:
    """Look at the task called ``name``; it is made for that, and closed again.

    :raises ConfigError: unknown name. :raises SimulationError: the simulator cannot start.
    """
    task = make_task(name, height=_SMALLEST, width=_SMALLEST)
    try:
        has_success = task.reset(0).success is not None
    finally:
        task.close()
    spec = task.spec
    return TaskFacts(
        name=name,
        command_mode=spec.command_mode,
        actions=_actions(spec),
        joints=tuple(
            Axis(joint, unit, _finite(low), _finite(high))
            for joint, unit, (low, high) in zip(
                spec.joint_names, spec.joint_units, spec.joint_limits, strict=True
            )
        ),
        proprioception=spec.proprioception,
        control_rate_hz=round(1 / spec.control_dt_s, 6),
        action_repeat=spec.action_repeat,
        episode_steps=spec.episode_steps,
        cameras=spec.cameras,
        default_camera=spec.default_camera,
        targets=spec.targets,
        has_success=has_success,
        perturbations=tuple(term + perturbations.get(term).argument for term in supported(name)),
    )


def _actions(spec: TaskSpec) -> tuple[Axis, ...]:
    units = dict(zip(spec.joint_names, spec.joint_units, strict=True))
    return tuple(
        Axis(name, _command_unit(name, units, spec.command_mode), low, high)
        for name, low, high in zip(
            spec.actuated_joints, spec.command_low, spec.command_high, strict=True
        )
    )


def _command_unit(name: str, joint_units: dict[str, str], mode: CommandMode) -> str:
    # What is no joint is an axis of the gripper's twist, named as in geometry_msgs/Twist.
    unit = joint_units.get(name, "rad" if "angular" in name else "m")
    if mode == "effort":
        return _EFFORT[unit]
    return f"{unit}/s" if mode == "velocity" else unit


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
