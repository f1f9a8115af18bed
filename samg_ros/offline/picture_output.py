"""Masked pictures: ``masked/NAME.png`` for every frame."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from samg_ros.offline.atomic import write_png
from samg_ros.offline.replay import MaskedFrame


def write_pictures(frames: Iterable[MaskedFrame], folder: Path) -> list[Path]:
    """:return: what was made. :raises OutputError: the disk refuses it."""
    for frame in frames:
        write_png(folder / "masked" / f"{frame.name}.png", frame.masked)
    return [folder / "masked"]
