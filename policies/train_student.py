"""Trains an image student to imitate a state teacher, scores it, leaves a run folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from policies.base import CAMERA_SIZE
from policies.checkpoint import TrainingRecord
from policies.resumed_config import resumed_config
from policies.run_folder import RunFolder, command_line, package_version
from policies.student import StudentPolicy
from policies.student_config import StudentConfig
from policies.student_scores import figures, score
from policies.student_store import StudentStore
from policies.student_training import StudentTraining
from policies.teacher import StateTeacher, shipped_teacher
from samg_ros.threads import single_thread
from sim_bridge.perturbations import make_perturbation
from sim_bridge.task import make_task


def train_student(
    task_name: str, config: StudentConfig, report: Callable[[int, str], None]
) -> Path:
    """Train a student, score it on held-out seeds and backgrounds, leave a run folder.

    The checkpoint is there from the first round on, and ``config.resume`` goes on with a run that
    was broken off.

    :param report: called after every round with its number, from 1, and a line about it.
    :return: the checkpoint.
    :raises CheckpointError: the teacher or the state to resume cannot be used, or no teacher ships
        for the task.
    :raises ConfigError: unknown task, or options that a resumed run was not told.
    :raises OutputError: the disk refuses the state; what was finished before is kept.
    :raises SimulationError: the simulator cannot start.
    """
    resumed, config = config.resume, resumed_config(config)
    path = config.teacher
    teacher = StateTeacher.load(path, task_name) if path else shipped_teacher(task_name)
    # Now, not after the training: it may be missing.
    held_out = make_perturbation("photos", task_name)
    name = student_name(task_name, config.mask)
    if resumed:
        run = RunFolder.existing(resumed)
    else:
        run = RunFolder(config.runs, f"{name}_student", config)
    checkpoint = run.path / f"{name}.safetensors"
    store = StudentStore(run.path, task_name)
    task = make_task(task_name, height=config.camera_size, width=config.camera_size)

    def after_round(round_: int, line: str) -> None:
        training.policy.save(checkpoint, _record(task_name, config, training.duration_s))
        report(round_, line)

    try:
        with single_thread():
            training = StudentTraining(task, teacher, config, store, resume=bool(resumed))
            losses = training.run(after_round)
            record = _record(task_name, config, training.duration_s)
    finally:
        task.close()
    task = make_task(task_name, height=CAMERA_SIZE, width=CAMERA_SIZE)
    try:
        with single_thread():
            # As it is kept, not as it was trained: the file is what is shipped.
            policy = StudentPolicy.load(checkpoint, task_name)
            results = score(policy, teacher, task, held_out, config.evaluation_episodes)
    finally:
        task.close()
    record = replace(record, scores=figures(results))
    policy.save(checkpoint, record)
    episodes = {name: asdict(result)["episodes"] for name, result in results.items()}
    run.write_results({"record": asdict(record), "episodes": episodes})
    run.write_curve(f"{name}: student", losses)
    store.clear()
    return checkpoint


def student_name(task: str, mask: str) -> str:
    """What a student's checkpoint is called: TASK, or TASK_raw and TASK_black for its twins."""
    suffix = {"targets": "", "none": "_raw", "black": "_black"}[mask]
    return task + suffix


def _record(task_name: str, config: StudentConfig, duration_s: float) -> TrainingRecord:
    """Of a training that is not scored yet."""
    return TrainingRecord(
        command=command_line("student", task_name, config),
        seed=config.seed,
        duration_s=round(duration_s, 1),
        scores={},
        version=package_version(),
    )
