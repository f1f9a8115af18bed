"""The checkpoints this package ships: students as ``TASK.safetensors``, their twins that learned
from raw pictures as ``TASK_raw.safetensors``; teachers lie with the simulated experts."""

from __future__ import annotations

from pathlib import Path

from sim_bridge.experts import shipped_teachers

_RAW, _TEACHER = "_raw", "_teacher"


def shipped() -> dict[str, Path]:
    """Every shipped checkpoint, by its name: the file's without the suffix."""
    students = {path.stem: path for path in Path(__file__).parent.glob("*.safetensors")}
    teachers = {f"{task}{_TEACHER}": path for task, path in shipped_teachers().items()}
    return dict(sorted((students | teachers).items()))


def acting() -> list[str]:
    """The names of those that act on pictures: all but the teachers."""
    return [name for name in shipped() if not name.endswith(_TEACHER)]


def shipped_students() -> dict[str, Path]:
    """The shipped student of each task that has one, by task."""
    return {name: path for name, path in shipped().items() if not name.endswith((_RAW, _TEACHER))}


def shipped_raw_students() -> dict[str, Path]:
    """The shipped student that learned from raw pictures of each task that has one, by task."""
    return _with_suffix(_RAW)


def _with_suffix(suffix: str) -> dict[str, Path]:
    """By the name without the suffix."""
    return {
        name.removesuffix(suffix): path
        for name, path in shipped().items()
        if name.endswith(suffix)
    }
