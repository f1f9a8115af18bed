"""What a student is worth on episodes and backgrounds that it was not trained on."""

from __future__ import annotations

from collections.abc import Mapping

from policies.evaluation import EpisodeResults, evaluate, evaluate_states
from policies.mask_source import MASK_SOURCES, make_mask_source
from policies.seeds import EVALUATION_SEEDS
from policies.student import StudentPolicy
from policies.teacher import Teacher
from sim_bridge.perturbations import Perturbation
from sim_bridge.scene import Scene
from sim_bridge.task import Task

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
