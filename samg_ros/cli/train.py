"""``samg train``: a state teacher (from rewards or an expert), or its masked-image student."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from tyro.conf import OmitArgPrefixes, Positional

from policies.drqv2_config import DrQV2Config
from policies.resumed_config import resumed_config
from policies.student_config import DEFAULT_RECIPE, RECIPES, Recipe, StudentConfig
from policies.teacher_config import TeacherConfig
from policies.train_drqv2 import MAY_CHANGE, train_drqv2
from policies.train_student import train_student
from policies.train_teacher import train_teacher


def teacher(
    task: Positional[str], config: Annotated[TeacherConfig, tyro.conf.arg(name="")]
) -> None:
    """Learn a task from its full state: from its rewards, or from an expert with --expert.

    :param task: name of a task, for example cartpole_swingup.
    """
    rounds = config.imitation.iterations if config.expert else config.sac.rounds
    with _progress(f"teacher {task}", rounds) as report:
        path = train_teacher(task, config, report)
    Console().print(f"wrote {path}", soft_wrap=True)


def student_command(defaults: StudentConfig) -> Callable[..., None]:
    """``samg train student`` with a recipe's defaults, which its help then shows."""

    def student(
        task: Positional[str],
        recipe: Recipe = DEFAULT_RECIPE,
        config: OmitArgPrefixes[StudentConfig] = defaults,
    ) -> None:
        """Imitate a teacher from masked camera images and joint positions.

        :param task: name of a task, for example adroit_door.
        :param recipe: the kind of task that the other options' defaults are for.
        """
        with _progress(f"student {task}", resumed_config(config).iterations) as report:
            path = train_student(task, config, report)
        Console().print(f"wrote {path}", soft_wrap=True)

    return student


def drqv2(task: Positional[str], config: OmitArgPrefixes[DrQV2Config]) -> None:
    """Learn from masked camera images by reinforcement, with DrQ-v2 (arXiv 2107.09645).

    :param task: name of a task, for example cartpole_swingup.
    """
    with _progress(f"drqv2 {task}", resumed_config(config, MAY_CHANGE).frames) as report:
        path = train_drqv2(task, config, report)
    Console().print(f"wrote {path}", soft_wrap=True)


def main(argv: list[str]) -> int:
    """Run ``samg train teacher TASK``, and the same with ``student`` or ``drqv2``."""
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--recipe", default=DEFAULT_RECIPE)
    named = early.parse_known_args(argv)[0].recipe  # an unknown one is refused below
    student = student_command(RECIPES.get(named, RECIPES[DEFAULT_RECIPE]))
    commands = {"teacher": teacher, "student": student, "drqv2": drqv2}
    tyro.extras.subcommand_cli_from_dict(commands, prog="samg train", args=argv)
    return 0


@contextmanager
def _progress(title: str, rounds: int) -> Iterator[Callable[[int, str], None]]:
    """A bar over rounds, lines where nobody watches; what it yields is called after each round
    with its number and a line about it."""
    console = Console()
    if not console.is_terminal:
        yield lambda done, line: console.print(f"{title} {done}/{rounds}: {line}")
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[line]}"),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task(title, total=rounds, line="")
        yield lambda done, line: progress.update(bar, completed=done, line=line)
