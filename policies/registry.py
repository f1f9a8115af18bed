"""Policies by name, and how to get one from a name or a checkpoint file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from policies.base import Policy
from policies.checkpoint import checkpoint_kind
from policies.checkpoints import shipped
from samg_ros.errors import CheckpointError, ConfigError
from samg_ros.registry import Registry

policies: Registry[Callable[[str], Policy]] = Registry(
    "policy", ("policies.student", "policies.random_policy")
)
"""Factories ``(task) -> Policy``, by name."""

kinds: Registry[Callable[[Path, str | None], Policy]] = Registry(
    "kind of policy", ("policies.student", "policies.drqv2_policy")
)
"""Loaders ``(path, task) -> Policy`` by the kind that a checkpoint tells of itself."""


def load_policy(name_or_path: str | Path, task: str) -> Policy:
    """A policy that is ready to act.

    :param name_or_path: a registered name (``student`` is the shipped checkpoint of the task,
        ``random`` a baseline), the name of a checkpoint that ships, or the path of any.
    :param task: the task it must be for.
    :raises CheckpointError: no checkpoint ships for the task, or the file cannot be used.
    :raises ConfigError: neither a registered name nor a checkpoint.
    """
    if str(name_or_path) in policies.names():
        return policies.get(str(name_or_path))(task)
    return load_stored(name_or_path, task)


def load_stored(name_or_path: str | Path, task: str | None = None) -> Policy:
    """As :func:`load_policy`, for checkpoints alone. :param task: None takes any."""
    path = shipped().get(str(name_or_path), Path(name_or_path))
    if path.suffix != ".safetensors":
        raise ConfigError(
            f"unknown policy {str(name_or_path)!r}; choose one of: "
            f"{', '.join(policies.names())}, a checkpoint that ships "
            f"({', '.join(shipped())}), or the path of a .safetensors checkpoint"
        )
    kind = checkpoint_kind(path)
    if kind not in kinds.names():
        raise CheckpointError(
            f"{path}: holds a {kind}, which does not act on pictures; a "
            f"{' or a '.join(kinds.names())} is needed"
        )
    return kinds.get(kind)(path, task)
