"""Trains a state teacher, from an expert or from rewards, scores it, leaves a run folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from policies.rollout import EpisodeResults, evaluate_states
from policies.teacher.config import MAY_CHANGE, SacConfig, TeacherConfig
from policies.teacher.env import hint_for
from policies.teacher.imitation import imitate
from policies.teacher.sac import learn
from policies.teacher.store import SacStore
from policies.training import EVALUATION_SEEDS
from policies.training.curves import plot_curves
from policies.training.state_file import NOT_TOLD, check_resumed
from samg_ros.errors import CheckpointError, ConfigError
from samg_ros.io.checkpoint import TrainingRecord
from samg_ros.io.run_folder import RunFolder, command_line, package_version
from samg_ros.machine import single_thread
from sim_bridge.experts.state import ExpertTeacher, StateTeacher, Teacher
from sim_bridge.task import make_task, tasks

_NEEDS_EXPERT = "adroit_"  # contacts of a hand: not found from rewards in any time one would wait


def train_teacher(
    task_name: str, config: TeacherConfig, report: Callable[[int, str], None]
) -> Path:
    """Train a teacher, score it on held-out seeds, leave a run folder.

    :param report: called after every round with its number, from 1, and a line about it.
    :return: the checkpoint.
    :raises CheckpointError: the expert file, or the state to resume, cannot be used.
    :raises ConfigError: unknown task, one that needs an expert and has none, or one without what
        its configuration asks for.
    :raises SimulationError: the simulator cannot start.
    """
    tasks.get(task_name)  # an unknown name is told before anything is started
    _check_resumed(config)
    expert = ExpertTeacher(config.expert) if config.expert else None
    if expert is None and task_name.startswith(_NEEDS_EXPERT):
        raise ConfigError(
            f"{task_name} is learned from an expert: give --expert FILE, a tanh MLP as .npz with "
            f"the arrays {', '.join(ExpertTeacher.KEYS)} (for instance the policy that the DAPG "
            "authors published for the task); the teacher that ships needs no such file"
        )
    if expert is None:
        _check_help(task_name, config.sac)
    # Last, so that a run that cannot begin leaves no folder.
    with _folder(task_name, config) as run, single_thread():
        if expert:
            outcome = _from_expert(task_name, expert, config, report)
        else:
            outcome = _from_rewards(task_name, config, run, report)
        path = run.path / f"{task_name}_teacher.safetensors"
        record = TrainingRecord(
            command=_command(task_name, config),
            seed=config.seed,
            duration_s=round(outcome.duration_s, 1),
            scores=outcome.scores,
            version=package_version(),
        )
        outcome.teacher.save(path, record)
        episodes = asdict(outcome.held_out)["episodes"]
        run.write_results({"record": asdict(record), "episodes": episodes})
        xlabel = "DAgger iteration" if expert else "round"
        plot_curves(run.path / "curve.png", f"{task_name}: teacher", outcome.curves, xlabel=xlabel)
    return path


def _check_resumed(config: TeacherConfig) -> None:
    check_resumed(config, MAY_CHANGE)
    if config.resume and config.expert:
        raise CheckpointError(
            f"{config.resume}: imitated an expert, which takes minutes and leaves nothing to go "
            "on with: start anew"
        )


def _check_help(task_name: str, config: SacConfig) -> None:
    if config.hint:
        hint_for(task_name)
    if config.reference_share:
        task = make_task(task_name)
        task.close()
        if not hasattr(task, "reset_near_reference"):
            raise ConfigError(
                f"{task_name} cannot begin near a reference configuration, only tasks of "
                "DMControl can: leave --sac.reference-share at 0"
            )


def _folder(task_name: str, config: TeacherConfig) -> RunFolder:
    if config.resume:
        return RunFolder.existing(config.resume)
    return RunFolder.new(config.runs, f"{task_name}_teacher", config, _command(task_name, config))


def _command(task_name: str, config: TeacherConfig) -> str:
    return command_line(f"samg train teacher {task_name}", config, NOT_TOLD)


@dataclass(frozen=True)
class _Outcome:
    """A trained teacher, how long it took, its held-out episodes and its training's curves."""

    teacher: StateTeacher
    duration_s: float
    held_out: EpisodeResults
    curves: dict[str, list[float]]

    @property
    def scores(self) -> dict[str, float]:
        """A success rate where the task knows success, else a mean return."""
        episodes = self.held_out.episodes
        counted = {"episodes": float(len(episodes))}
        if episodes[0].success is None:
            return {"state_return": round(self.held_out.mean_return, 1), **counted}
        return {"state": self.held_out.success_rate, **counted}


def _from_expert(
    task_name: str,
    expert: Teacher,
    config: TeacherConfig,
    report: Callable[[int, str], None],
) -> _Outcome:
    task = make_task(task_name)
    start = time.monotonic()
    try:
        teacher, losses = imitate(task, expert, config.imitation, config.seed, report)
        duration_s = time.monotonic() - start
        held_out = evaluate_states(teacher.label, task, EVALUATION_SEEDS)
    finally:
        task.close()
    return _Outcome(teacher, duration_s, held_out, {"loss": losses})


def _from_rewards(
    task_name: str, config: TeacherConfig, run: RunFolder, report: Callable[[int, str], None]
) -> _Outcome:
    store = SacStore(run.path, task_name)
    teacher, progress = learn(
        lambda: make_task(task_name),
        config.sac,
        config.seed,
        store,
        report,
        resume=config.resume is not None,
        start=SacStore(config.start_from, None).load() if config.start_from else None,
    )
    task = make_task(task_name)
    try:
        held_out = evaluate_states(teacher.label, task, EVALUATION_SEEDS)
    finally:
        task.close()
    curves = {"validation return": progress.returns}
    return _Outcome(teacher, progress.duration_s, held_out, curves)
