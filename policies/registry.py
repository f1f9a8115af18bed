"""Policies by name, and how to get one from a name or a checkpoint file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from policies.base import Policy
from policies.checkpoint import checkpoint_kind
from policies.checkpoints import acting, shipped
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
