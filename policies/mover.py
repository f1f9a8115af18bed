"""What moves a simulated robot when no picture is needed: its teacher, or random actions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from policies.teacher import has_teacher, shipped_teacher
from sim_bridge.task import StepResult

Mover = Callable[[StepResult], np.ndarray]


def make_mover(task: str, action_size: int, seed: int) -> Mover:
    """The task's shipped teacher, or uniform random actions for a task without one.

    :return: from a step's result to an action, float [A] in [-1, 1].
    """
    if has_teacher(task):
        teacher = shipped_teacher(task)
        return lambda result: teacher.label(result.state)
    rng = np.random.default_rng(seed)
    return lambda result: rng.uniform(-1, 1, action_size)
