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

_STORED = f"a checkpoint that ships ({', '.join(acting())}), or the path of a .safetensors file"


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
    if not _is_stored(name):
        raise ConfigError(
            f"unknown policy {name!r}; choose one of: {', '.join(policies.names())}, {_STORED}"
        )
    return load_stored(name, task)


def load_stored(name_or_path: str | Path, task: str | None = None) -> Policy:
    """As :func:`load_policy`, for checkpoints alone. :param task: None takes any."""
    if not _is_stored(str(name_or_path)):
        raise ConfigError(f"unknown checkpoint {str(name_or_path)!r}; name {_STORED}")
    path = shipped().get(str(name_or_path), Path(name_or_path))
    kind = checkpoint_kind(path)
    if kind not in kinds.names():
        raise CheckpointError(
            f"{path}: holds a {kind}, which does not act on pictures; a "
            f"{' or a '.join(kinds.names())} is needed"
        )
    return kinds.get(kind)(path, task)


def _is_stored(name: str) -> bool:
    return name in shipped() or name.endswith(".safetensors")
