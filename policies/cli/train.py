"""``samg train``: a state teacher (from rewards or an expert), or its masked-image student."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import tyro
from tyro.conf import OmitArgPrefixes, Positional

from policies.drqv2.config import DrQV2Config
from policies.student.config import DEFAULT_RECIPE, RECIPES, Recipe, StudentConfig
from policies.teacher.config import TeacherConfig
from samg_ros.io.progress import progress

Command = Callable[..., None]
C = TypeVar("C", TeacherConfig, StudentConfig, DrQV2Config)


def teacher_command(defaults: TeacherConfig) -> Command:
    """``samg train teacher`` with the defaults that its help shows."""

    def teacher(
        task: Positional[str],
        config: Annotated[TeacherConfig, tyro.conf.arg(name="")] = defaults,
    ) -> None:
        """Learn a task from its full state: from its rewards, or from an expert with --expert.

        :param task: name of a task, for example cartpole_swingup.
        """
        from policies.teacher.train import train_teacher

        rounds = config.imitation.iterations if config.expert else config.sac.rounds
        with progress(f"teacher {task}", rounds) as report:
            path = train_teacher(task, config, report)
        print(f"wrote {path}")

    return teacher


def student_command(defaults: StudentConfig) -> Command:
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
        from policies.student.dagger import train_student

        with progress(f"student {task}", config.iterations) as report:
            path = train_student(task, config, report)
        print(f"wrote {path}")

    return student


def drqv2_command(defaults: DrQV2Config) -> Command:
    """``samg train drqv2`` with the defaults that its help shows."""

    def drqv2(task: Positional[str], config: OmitArgPrefixes[DrQV2Config] = defaults) -> None:
        """Learn from masked camera images by reinforcement, with DrQ-v2 (arXiv 2107.09645).

        :param task: name of a task, for example cartpole_swingup.
        """
        from policies.drqv2.run import train_drqv2

        with progress(f"drqv2 {task}", config.frames) as report:
            path = train_drqv2(task, config, report)
        print(f"wrote {path}")

    return drqv2


def main(argv: list[str]) -> int:
    """Run ``samg train teacher TASK``, and the same with ``student`` or ``drqv2``."""
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    early.add_argument("--recipe", default=DEFAULT_RECIPE)
    early.add_argument("--resume", type=Path)
    try:
        named = early.parse_known_args(argv)[0]
    except argparse.ArgumentError:
        named = early.parse_args([])  # what is missing is reported below
    # A run is resumed with its own options: whatever differs from them was really given.
    resume = named.resume if {*argv}.isdisjoint({"-h", "--help"}) else None
    kind = argv[0] if argv else ""

    def defaults(name: str, cls: type[C], otherwise: C) -> C:
        if not resume or name != kind:
            return otherwise
        from policies.training.run import resumed

        return resumed(cls, resume)

    recipe = RECIPES.get(named.recipe, RECIPES[DEFAULT_RECIPE])  # unknown ones are refused below
    commands: dict[str, Command] = {
        "teacher": teacher_command(defaults("teacher", TeacherConfig, TeacherConfig())),
        "student": student_command(defaults("student", StudentConfig, recipe)),
        "drqv2": drqv2_command(defaults("drqv2", DrQV2Config, DrQV2Config())),
    }
    tyro.extras.subcommand_cli_from_dict(commands, prog="samg train", args=argv)
    return 0
