"""Trains an image student to imitate a state teacher, scores it, leaves a run folder."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from policies.base import policy_spec
from policies.rollout import EpisodeResults, evaluate_policy, evaluate_states
from policies.student.config import StudentConfig
from policies.student.dagger import KIND, StudentTraining
from policies.student.dataset import COLLECTED
from policies.student.policy import JointOffsets, StudentPolicy
from policies.training import EVALUATION_SEEDS
from policies.training.run import TrainingRun, scores_of
from samg_ros.machine import single_thread
from sim_bridge.envs.env import make
from sim_bridge.experts.state import StateTeacher, Teacher, shipped_teacher
from sim_bridge.perturbations.grammar import Perturbation, make_perturbation
from sim_bridge.scenes import MASKS
from sim_bridge.scenes.scene import Scene, world_of
from sim_bridge.task import CAMERA_SIZE, Task, make_task, tasks

TEACHER = "teacher"
CLEAN = "_clean"


def score(
    policy: StudentPolicy, teacher: Teacher, task: Task, held_out: Perturbation, episodes: int
) -> dict[str, EpisodeResults]:
    """Held-out episodes, by what the student saw, and its teacher's on the same seeds.

    Names of masks stand for the held-out perturbation. A student that learned from raw
    pictures is also scored on raw pictures without it, ``none_clean``, and never on masks.

    :param episodes: of each; their seeds are the first of ``EVALUATION_SEEDS``.
    """
    chosen = EVALUATION_SEEDS[:episodes]
    names = list(MASKS) if policy.spec.mask == "targets" else [policy.spec.mask]
    perturbed, clean = Scene(task, held_out), Scene(task)
    results = {TEACHER: evaluate_states(teacher.label, task, chosen)}
    for name in names:
        results[name] = evaluate_policy(policy, perturbed, name, chosen)
    if policy.spec.mask == "none":
        results["none" + CLEAN] = evaluate_policy(policy, clean, "none", chosen)
    return results


def train_student(
    task_name: str, config: StudentConfig, report: Callable[[int, str], None]
) -> Path:
    """Train a student, score it on held-out seeds and backgrounds, leave a run folder.

    The checkpoint is there from the first round on, and ``config.resume`` resumes an
    interrupted run.

    :param report: called after every round with its number, from 1, and a line about it.
    :return: the checkpoint.
    :raises CheckpointError: the teacher or the state to resume cannot be used, or no teacher ships
        for the task.
    :raises ConfigError: unknown task, or options that a resumed run was not given.
    :raises OutputError: the disk refuses the state; what was finished before is kept.
    :raises SimulationError: the simulator cannot start.
    """
    tasks.get(task_name)  # an unknown name is refused before anything is started
    name = student_name(task_name, config.mask)
    run = TrainingRun(KIND, task_name, config, f"{name}_student")
    path = config.teacher
    teacher = StateTeacher.load(path, task_name) if path else shipped_teacher(task_name)
    # Now, not after the training: it may be missing.
    held_out = make_perturbation("photos", task_name)
    if config.offsets:
        spec = policy_spec(world_of(task_name), image_size=CAMERA_SIZE, frame_stack=1)
        JointOffsets.check(spec)
    # Last, so that a run that cannot begin leaves no folder.
    with run, single_thread():
        checkpoint = run.path / f"{name}.safetensors"
        size = config.camera_size
        with closing(make(task_name, size=size, camera_size=size, **COLLECTED)) as env:
            training = StudentTraining(run, env, teacher, config)

            def after_round(round_: int, line: str) -> None:
                training.policy.save(checkpoint, run.record({}))
                report(round_, line)

            losses = training.rounds(after_round)
        training.policy.save(checkpoint, run.record({}))
        with closing(make_task(task_name, height=CAMERA_SIZE, width=CAMERA_SIZE)) as task:
            # As it is kept, not as it was trained: the file is what is shipped.
            policy = StudentPolicy.load(checkpoint, task_name)
            results = score(policy, teacher, task, held_out, config.evaluation_episodes)
        record = run.record(scores_of(results))
        policy.save(checkpoint, record)
        episodes = {name: asdict(result)["episodes"] for name, result in results.items()}
        run.finish(record, {"episodes": episodes}, losses, xlabel="DAgger iteration")
        run.forget()
    return checkpoint


def student_name(task: str, mask: str) -> str:
    """What a student's checkpoint is called: TASK, or TASK_raw and TASK_black for its twins."""
    suffix = {"targets": "", "none": "_raw", "black": "_black"}[mask]
    return task + suffix
