"""Who can do a task that is simulated: state policies that ship, and a script for the arm."""

from __future__ import annotations

from pathlib import Path

_TEACHER = "_teacher"


def shipped_teachers() -> dict[str, Path]:
    """The shipped teacher of each task that has one, by task."""
    folder = Path(__file__).parent
    return {
        path.stem.removesuffix(_TEACHER): path
        for path in sorted(folder.glob(f"*{_TEACHER}.safetensors"))
    }
