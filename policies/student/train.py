"""Trains an image student to imitate a state teacher, scores it, leaves a run folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

from policies.base import policy_spec
from policies.rollout import EpisodeResults, evaluate, evaluate_states
from policies.student.config import StudentConfig
from policies.student.dagger import StudentStore, StudentTraining
from policies.student.policy import JointOffsets, StudentPolicy
from policies.training import EVALUATION_SEEDS
from policies.training.curves import plot_curves
from policies.training.state_file import NOT_TOLD, check_resumed
from samg_ros.io.checkpoint import TrainingRecord, load_checkpoint
from samg_ros.io.run_folder import RunFolder, command_line, package_version
from samg_ros.machine import single_thread
from samg_ros.robot import PolicySpec
from sim_bridge.experts.state import StateTeacher, Teacher, shipped_teacher
from sim_bridge.perturbations.grammar import Perturbation, make_perturbation
from sim_bridge.scenes.scene import Scene, world_of
from sim_bridge.scenes.views import MASK_SOURCES, make_mask_source
from sim_bridge.task import CAMERA_SIZE, Task, TaskSpec, make_task, tasks

TEACHER = "teacher"
CLEAN = "_clean"


def score(
    policy: StudentPolicy, teacher: Teacher, task: Task, held_out: Perturbation, episodes: int
) -> dict[str, EpisodeResults]:
    """Held-out episodes, by what the student saw, and its teacher's on the same seeds.

    Names of mask sources stand for the held-out perturbation. A student that learned from raw
    pictures is also scored on raw pictures without it, ``none_clean``, and never on masks.

    :param episodes: of each; their seeds are the first of ``EVALUATION_SEEDS``.
    """
    chosen = EVALUATION_SEEDS[:episodes]
    names = list(MASK_SOURCES) if policy.spec.mask == "targets" else [policy.spec.mask]
    perturbed, clean = Scene(task, held_out), Scene(task)
    results = {TEACHER: evaluate_states(teacher.label, task, chosen)}
    for name in names:
        results[name] = evaluate(policy, perturbed, make_mask_source(name), chosen)
    if policy.spec.mask == "none":
        results["none" + CLEAN] = evaluate(policy, clean, make_mask_source("none"), chosen)
    return results


def figures(results: Mapping[str, EpisodeResults]) -> dict[str, float]:
    """The scores of a training record: success rates, or mean returns under names that end in
    ``_return`` where a task does not tell success; and the number of episodes of each."""
    found: dict[str, float] = {}
    for name, result in results.items():
        tells_success = any(episode.success is not None for episode in result.episodes)
        if tells_success:
            found[name] = result.success_rate
        else:
            found[f"{name}_return"] = round(result.mean_return, 1)
        found["episodes"] = float(len(result.episodes))
    return found


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
        title = f"{student_name(task_name, config.mask)}: student"
        plot_curves(run.path / "curve.png", title, losses, xlabel="DAgger iteration")
        store.clear()
    return checkpoint


def student_name(task: str, mask: str) -> str:
    """What a student's checkpoint is called: TASK, or TASK_raw and TASK_black for its twins."""
    suffix = {"targets": "", "none": "_raw", "black": "_black"}[mask]
    return task + suffix


def _folder(task_name: str, config: StudentConfig) -> RunFolder:
    if config.resume:
        return RunFolder.existing(config.resume)
    name = f"{student_name(task_name, config.mask)}_student"
    return RunFolder.new(config.runs, name, config, _command(task_name, config))


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
    return policy_spec(task, image_size=CAMERA_SIZE, frame_stack=1)


def _command(task_name: str, config: StudentConfig) -> str:
    return command_line(f"samg train student {task_name}", config, NOT_TOLD)


def _record(task_name: str, config: StudentConfig, duration_s: float) -> TrainingRecord:
    """Of a training that is not scored yet."""
    return TrainingRecord(
        command=_command(task_name, config),
        seed=config.seed,
        duration_s=round(duration_s, 1),
        scores={},
        version=package_version(),
    )
