"""Trains an image student to imitate a state teacher, scores it, leaves a run folder."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

from policies.base import CAMERA_SIZE, PolicySpec
from policies.checkpoint import TrainingRecord, load_checkpoint
from policies.eval_checks import world_of
from policies.joint_offsets import JointOffsets
from policies.resumed_config import check_resumed
from policies.run_folder import RunFolder, command_line, package_version
from policies.student import StudentPolicy
from policies.student_config import StudentConfig
from policies.student_scores import figures, score
from policies.student_store import StudentStore
from policies.student_training import StudentTraining
from policies.teacher import StateTeacher, Teacher, shipped_teacher
from samg_ros.threads import single_thread
from sim_bridge.perturbations import make_perturbation
from sim_bridge.task import TaskSpec, make_task, tasks


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
    tasks.get(task_name)  # an unknown name is told before anything is started
    check_resumed(config)
    path = config.teacher
    teacher = StateTeacher.load(path, task_name) if path else shipped_teacher(task_name)
    # Now, not after the training: it may be missing.
    held_out = make_perturbation("photos", task_name)
    if config.offsets:
        JointOffsets.check(_spec(world_of(task_name)))
    # Last, so that a run that cannot begin leaves no folder.
    with _folder(task_name, config) as run, single_thread():
        store = StudentStore(run.path, task_name)
        checkpoint, losses = _train(task_name, teacher, config, run, store, report)
        with closing(make_task(task_name, height=CAMERA_SIZE, width=CAMERA_SIZE)) as task:
            # As it is kept, not as it was trained: the file is what is shipped.
            policy = StudentPolicy.load(checkpoint, task_name)
            results = score(policy, teacher, task, held_out, config.evaluation_episodes)
        record = replace(load_checkpoint(checkpoint).record, scores=figures(results))
        policy.save(checkpoint, record)
        episodes = {name: asdict(result)["episodes"] for name, result in results.items()}
        run.write_results({"record": asdict(record), "episodes": episodes})
        run.write_curve(f"{student_name(task_name, config.mask)}: student", losses)
        store.clear()
    return checkpoint


def student_name(task: str, mask: str) -> str:
    """What a student's checkpoint is called: TASK, or TASK_raw and TASK_black for its twins."""
    suffix = {"targets": "", "none": "_raw", "black": "_black"}[mask]
    return task + suffix


def _folder(task_name: str, config: StudentConfig) -> RunFolder:
    if config.resume:
        return RunFolder.existing(config.resume)
    return RunFolder.new(config.runs, f"{student_name(task_name, config.mask)}_student", config)


def _train(
    task_name: str,
    teacher: Teacher,
    config: StudentConfig,
    run: RunFolder,
    store: StudentStore,
    report: Callable[[int, str], None],
) -> tuple[Path, dict[str, list[float]]]:
    """:return: the checkpoint, which is not scored yet, and the curves."""
    checkpoint = run.path / f"{student_name(task_name, config.mask)}.safetensors"

    def after_round(round_: int, line: str) -> None:
        training.policy.save(checkpoint, _record(task_name, config, training.duration_s))
        report(round_, line)

    size = config.camera_size
    with closing(make_task(task_name, height=size, width=size)) as task:
        training = StudentTraining(task, teacher, config, store, resume=bool(config.resume))
        losses = training.run(after_round)
    training.policy.save(checkpoint, _record(task_name, config, training.duration_s))
    return checkpoint, losses


def _spec(task: TaskSpec) -> PolicySpec:
    return PolicySpec.from_task(task, image_size=CAMERA_SIZE, frame_stack=1)


def _record(task_name: str, config: StudentConfig, duration_s: float) -> TrainingRecord:
    """Of a training that is not scored yet."""
    return TrainingRecord(
        command=command_line("student", task_name, config),
        seed=config.seed,
        duration_s=round(duration_s, 1),
        scores={},
        version=package_version(),
    )
