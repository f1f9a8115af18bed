"""Policies by name, and how to get one from a name or a checkpoint file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from policies.base import Observation, Policy, policy_spec
from policies.checkpoints import acting, shipped
from samg_ros.errors import CheckpointError, ConfigError
from samg_ros.io.checkpoint import checkpoint_kind
from samg_ros.registry import Registry
from samg_ros.robot import PolicySpec
from sim_bridge.task import CAMERA_SIZE

policies: Registry[Callable[[str], Policy]] = Registry(
    "policy", ("policies.student.policy", "policies.registry")
)
"""Factories ``(task) -> Policy``, by name."""

kinds: Registry[Callable[[Path, str | None], Policy]] = Registry(
    "kind of policy", ("policies.student.policy", "policies.drqv2.policy")
)
"""Loaders ``(path, task) -> Policy`` by the kind that a checkpoint says of itself."""


def load(name_or_path: str | Path, task: str | None = None) -> Policy:
    """A policy that is ready to act.

    :param name_or_path: the name of a checkpoint that ships (``samg policies`` lists them) or the
        path of any; with a task also ``student``, ``raw_student`` or ``random``.
    :param task: the task it must be for; None takes a checkpoint of any.
    :raises CheckpointError: the file cannot be used, or is for another task.
    :raises ConfigError: there is none of that name.
    """
    return load_stored(name_or_path) if task is None else load_policy(name_or_path, task)


def load_policy(name_or_path: str | Path, task: str) -> Policy:
    """A policy that is ready to act.

    :param name_or_path: a registered name (``student`` is the shipped checkpoint of the task,
        ``random`` a baseline), the name of a checkpoint that ships, or the path of any.
    :param task: the task it must be for.
    :raises CheckpointError: no checkpoint ships for the task, or the file cannot be used.
    :raises ConfigError: neither a registered name nor a checkpoint.
    """
    name = str(name_or_path)
    if name in policies.names():
        return policies.get(name)(task)
    if _stored_at(name) is None:
        raise ConfigError(
            f"unknown policy {name!r}; choose one of: {', '.join(policies.names())}, {_stored()}"
        )
    return load_stored(name, task)


def load_stored(name_or_path: str | Path, task: str | None = None) -> Policy:
    """As :func:`load_policy`, for checkpoints alone. :param task: None takes any."""
    path = _stored_at(str(name_or_path))
    if path is None:
        raise ConfigError(f"unknown checkpoint {str(name_or_path)!r}; name {_stored()}")
    kind = checkpoint_kind(path)
    if kind not in kinds.names():
        raise CheckpointError(
            f"{path}: holds a {kind}, which does not act on pictures; a "
            f"{' or a '.join(kinds.names())} is needed"
        )
    return kinds.get(kind)(path, task)


def _stored_at(name: str) -> Path | None:
    """The file that a checkpoint's name or path means."""
    return shipped().get(name) or (Path(name) if name.endswith(".safetensors") else None)


def _stored() -> str:
    """What :func:`load_stored` takes, for messages."""
    return f"a checkpoint that ships ({', '.join(acting())}), or the path of a .safetensors file"


class RandomPolicy:
    """Smooth random actions: an AR(1) process, squashed into [-1, 1].

    Smooth because independent draws at every step cancel out and hardly move an arm. Each reset
    starts the same sequence again; other sequences come from other seeds.
    """

    def __init__(self, spec: PolicySpec, seed: int = 0, memory: float = 0.9) -> None:
        self.spec = spec
        self._seed = seed
        self._memory = memory
        self.reset()

    def reset(self) -> None:
        """Start the sequence again."""
        self._rng = np.random.default_rng(self._seed)
        self._level = self._rng.normal(size=len(self.spec.actuated_joints))

    def act(self, observation: Observation) -> np.ndarray:
        """:return: float32 [A] in [-1, 1]; ``observation`` is not looked at."""
        fresh = self._rng.normal(size=self._level.shape)
        # The weights keep the variance at 1.
        self._level = self._memory * self._level + np.sqrt(1 - self._memory**2) * fresh
        return np.tanh(self._level).astype(np.float32)


@policies.register("random")
def random_policy(task: str) -> RandomPolicy:
    """The baseline for ``task``, which needs the simulator for the task's joints and limits.

    :raises ConfigError: unknown task. :raises SimulationError: the simulator cannot start.
    """
    from sim_bridge.task import make_task

    simulated = make_task(task)
    try:
        return RandomPolicy(policy_spec(simulated.spec, image_size=CAMERA_SIZE, frame_stack=1))
    finally:
        simulated.close()
