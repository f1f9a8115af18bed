"""Trains a state teacher, from an expert or from rewards, scores it, leaves a run folder."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from policies.rollout import evaluate_states
from policies.teacher.config import SacConfig, TeacherConfig
from policies.teacher.imitation import imitate
from policies.teacher.sac import KIND, hint_for, learn
from policies.training import EVALUATION_SEEDS
from policies.training.run import TrainingRun, scores_of
from samg_ros.errors import ConfigError
from samg_ros.machine import single_thread
from sim_bridge.experts.state import ExpertTeacher
from sim_bridge.task import make_task, tasks

_NEEDS_EXPERT = "adroit_"  # contacts of a hand: not found from rewards in any time one would wait


def train_teacher(
    task_name: str, config: TeacherConfig, report: Callable[[int, str], None]
) -> Path:
    """Train a teacher, or resume ``config.resume``; score it on held-out seeds.

    :param report: called after every round with its number, from 1, and a line about it.
    :return: the checkpoint, in the run's folder.
    :raises CheckpointError: the expert file, or the state to resume, cannot be used.
    :raises ConfigError: unknown task, one that needs an expert and has none, or one without what
        its configuration asks for.
    :raises SimulationError: the simulator cannot start.
    """
    tasks.get(task_name)  # an unknown name is refused before anything is started
    run = TrainingRun(KIND, task_name, config, f"{task_name}_teacher")
    expert = ExpertTeacher(config.expert) if config.expert else None
    if expert is None:
        _check_rewards(task_name, config.sac)

    def make():
        return make_task(task_name)

    # Last, so that a run that cannot begin leaves no folder.
    with run, single_thread():
        if expert:
            with closing(make()) as task:
                teacher, losses = imitate(task, expert, config.imitation, config.seed, report)
            xlabel, curves = "DAgger iteration", {"loss": losses}
        else:
            teacher, returns = learn(run, make, config.sac, report, config.start_from)
            xlabel, curves = "round", {"validation return": returns}
        with closing(make()) as task:
            held_out = evaluate_states(teacher.label, task, EVALUATION_SEEDS)
        path = run.path / f"{task_name}_teacher.safetensors"
        record = run.record(scores_of({"state": held_out}))
        teacher.save(path, record)
        run.finish(record, asdict(held_out), curves, xlabel=xlabel)
    return path


def _check_rewards(task_name: str, config: SacConfig) -> None:
    """Whether the task can be learned so. :raises ConfigError: it cannot."""
    if task_name.startswith(_NEEDS_EXPERT):
        raise ConfigError(
            f"{task_name} is learned from an expert: give --expert FILE, a tanh MLP as .npz with "
            f"the arrays {', '.join(ExpertTeacher.KEYS)} (for instance the policy that the DAPG "
            "authors published for the task); the teacher that ships needs no such file"
        )
    if config.hint:
        hint_for(task_name)
    if config.reference_share:
        with closing(make_task(task_name)) as task:
            begins_near = hasattr(task, "reset_near_reference")
        if not begins_near:
            raise ConfigError(
                f"{task_name} cannot begin near a reference configuration, only tasks of "
                "DMControl can: leave --sac.reference-share at 0"
            )
