"""``samg sim list``: what the simulated tasks take and give."""

from __future__ import annotations

import json as json_format
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from tyro.conf import Positional

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from samg_ros.robot import CommandMode
    from sim_bridge.task import TaskSpec

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
    from sim_bridge.perturbations.grammar import perturbations, supported
    from sim_bridge.task import make_task

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


def list_tasks(tasks: Positional[tuple[str, ...]] = (), /, json: bool = False) -> None:
    """Tasks with their actions, control rate, cameras, targets and perturbations.

    :param tasks: tasks to show everything of: also joints, limits and units.
    :param json: print JSON, always with everything.
    """
    from rich.console import Console

    facts = look(tasks)
    console = Console()
    if json:
        print(json_format.dumps([asdict(one) for one in facts], indent=2))
    elif tasks:
        for one in facts:
            _print_task(one, console)
    else:
        console.print(_overview(facts))
        console.print("Joints, limits, units, cameras and perturbations: samg sim list TASK")


def look(names: Sequence[str]) -> list[TaskFacts]:
    """The facts of some tasks, of all if none is named."""
    from rich.console import Console

    from sim_bridge.task import tasks

    for name in names:
        tasks.get(name)  # an unknown one is better refused now than after some that are not
    facts = []
    with Console(stderr=True).status("tasks") as status:
        for name in names or tasks.names():
            status.update(name)
            facts.append(task_facts(name))
    return facts


def _overview(facts: list[TaskFacts]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("task", "actions", "rate", "lasts", "aim", "cameras"):
        table.add_column(heading, no_wrap=True)
    table.add_column("targets")
    for one in facts:
        table.add_row(
            one.name,
            f"{len(one.actions)} {one.command_mode}",
            f"{one.control_rate_hz:g} Hz",
            f"{one.episode_s:g} s",
            "success" if one.has_success else "return",
            _default_camera(one),
            " ".join(one.targets),
        )
    return table


def _print_task(one: TaskFacts, console: Console) -> None:
    """Everything of a task; lines are not broken where they would be copied from."""
    from rich.table import Table

    about = {
        "control": f"{one.control_rate_hz:g} Hz, action repeat {one.action_repeat}",
        "episode": f"{one.episode_steps} steps, {one.episode_s:g} s",
        "judged by": "success and return" if one.has_success else "return",
        "cameras": _cameras(one),
        "targets": " ".join(one.targets),
        "perturbations": "\n".join(one.perturbations).replace("[", "\\["),
    }
    grid = Table(show_header=False, box=None, pad_edge=False)
    for key, value in about.items():
        grid.add_row(f"[bold]{key}[/]", value)
    console.rule(one.name, align="left")
    console.print(grid)
    console.print(f"\n[bold]actions[/] ({one.command_mode}, as joint_command names them)")
    console.print(_axes(one.actions))
    console.print("[bold]joints[/] (as joint_states names them)")
    console.print(_axes(one.joints, one.proprioception))


def _axes(axes: Sequence[Axis], robot: Sequence[str] = ()) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("name", no_wrap=True)
    table.add_column("limits", justify="right")
    table.add_column("unit")
    if robot:
        table.add_column("proprioception")
    for axis in axes:
        owner = "yes" if axis.name in robot else ""
        table.add_row(axis.name, axis.range, axis.unit, *([owner] if robot else []))
    return table


def _default_camera(one: TaskFacts) -> str:
    others = len(one.cameras) - 1
    return one.default_camera + (f" +{others}" if others else "")


def _cameras(one: TaskFacts) -> str:
    return " ".join(f"[bold]{c}[/]" if c == one.default_camera else c for c in one.cameras)
