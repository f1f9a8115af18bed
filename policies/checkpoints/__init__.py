"""The checkpoints this package ships: students as ``TASK.safetensors``, their twins that learned
from raw pictures as ``TASK_raw.safetensors``, teachers as ``TASK_teacher.safetensors``."""

from __future__ import annotations

from pathlib import Path

from samg_ros.errors import CheckpointError

_RAW, _TEACHER = "_raw", "_teacher"


def shipped() -> dict[str, Path]:
    """Every shipped checkpoint, by its name: the file's without the suffix."""
    return {path.stem: path for path in sorted(Path(__file__).parent.glob("*.safetensors"))}


def acting() -> list[str]:
    """The names of those that act on pictures: all but the teachers."""
    return [name for name in shipped() if not name.endswith(_TEACHER)]


def shipped_students() -> dict[str, Path]:
    """The shipped student of each task that has one, by task."""
    return {name: path for name, path in shipped().items() if not name.endswith((_RAW, _TEACHER))}


def shipped_raw_students() -> dict[str, Path]:
    """The shipped student that learned from raw pictures of each task that has one, by task."""
    return _with_suffix(_RAW)


def shipped_teachers() -> dict[str, Path]:
    """The shipped teacher of each task that has one, by task."""
    return _with_suffix(_TEACHER)


def choose(shipped: dict[str, Path], task: str) -> Path:
    """The entry of ``task``.

    :raises CheckpointError: none ships; the message lists those that do.
    """
    if task not in shipped:
        raise CheckpointError(
            f"no checkpoint ships for task {task!r}; there is one for: "
            f"{', '.join(shipped) or 'no task'}. Train one with `samg train` and give its path"
        )
    return shipped[task]


def _with_suffix(suffix: str) -> dict[str, Path]:
    """By the name without the suffix."""
    return {
        name.removesuffix(suffix): path
        for name, path in shipped().items()
        if name.endswith(suffix)
    }
