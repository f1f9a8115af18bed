"""The checkpoints this package ships: ``TASK.safetensors`` and ``TASK_teacher.safetensors``."""

from __future__ import annotations

from pathlib import Path

from samg_ros.errors import CheckpointError

_TEACHER = "_teacher"


def shipped_students() -> dict[str, Path]:
    """The shipped student of each task that has one, by task."""
    paths = sorted(Path(__file__).parent.glob("*.safetensors"))
    return {path.stem: path for path in paths if not path.stem.endswith(_TEACHER)}


def shipped_teachers() -> dict[str, Path]:
    """The shipped teacher of each task that has one, by task."""
    paths = sorted(Path(__file__).parent.glob(f"*{_TEACHER}.safetensors"))
    return {path.stem.removesuffix(_TEACHER): path for path in paths}


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
