"""``samg sim list``: what the simulated tasks take and give."""

from __future__ import annotations

import json as json_format
from collections.abc import Sequence
from dataclasses import asdict

from rich import box
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional

from sim_bridge.task_facts import Axis, TaskFacts, task_facts


def list_tasks(tasks: Positional[tuple[str, ...]] = (), /, json: bool = False) -> None:
    """Tasks with their actions, control rate, cameras, targets and perturbations.

    :param tasks: tasks to tell everything of: also joints, limits and units.
    :param json: print JSON, always with everything.
    """
    facts = look(tasks)
    console = Console()
    if json:
        print(json_format.dumps([asdict(one) for one in facts], indent=2))
    elif tasks:
        for one in facts:
            _print_task(one, console)
    else:
        console.print(_overview(facts))
        console.print("Joints, limits, units, cameras and looks: samg sim list TASK")


def look(names: Sequence[str]) -> list[TaskFacts]:
    """The facts of some tasks, of all if none is named."""
    from sim_bridge.task import tasks

    for name in names:
        tasks.get(name)  # an unknown one is better told now than after some that are not
    facts = []
    with Console(stderr=True).status("tasks") as status:
        for name in names or tasks.names():
            status.update(name)
            facts.append(task_facts(name))
    return facts


def _overview(facts: list[TaskFacts]) -> Table:
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
    about = {
        "control": f"{one.control_rate_hz:g} Hz, action repeat {one.action_repeat}",
        "episode": f"{one.episode_steps} steps, {one.episode_s:g} s",
        "judged by": "success and return" if one.has_success else "return",
        "cameras": _cameras(one),
        "targets": " ".join(one.targets),
        "looks": "\n".join(one.perturbations).replace("[", "\\["),
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
