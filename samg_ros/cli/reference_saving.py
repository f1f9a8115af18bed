"""What the ways of making a reference share: where it goes, and what is said of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from samg_ros.errors import InvalidReferenceError
from samg_ros.masking.reference import PART_POINTS, Reference, Target, View
from samg_ros.masking.reference import part_points as automatic_points
from samg_ros.offline.reference_output import combined, destination, write_reference
from samg_ros.parameters import documented, parameter, validate


@documented
@dataclass(frozen=True)
class SaveOptions:
    """Where the reference goes."""

    out: Path | None = parameter(None, "file to write; IMAGE.npz here where none is given")
    add: Path | None = parameter(
        None, "reference to add a view to; written back to it unless --out says otherwise"
    )
    overwrite: bool = parameter(False, "replace a file that is there")
    parts: int = parameter(PART_POINTS, "part points found on each target", low=0, high=64)

    def __post_init__(self) -> None:
        validate(self)


def save_view(
    image: Path,
    rgb: np.ndarray,
    masks: dict[str, np.ndarray],
    points: dict[str, np.ndarray],
    options: SaveOptions,
    about: dict[str, Any],
) -> None:
    """Save one picture as a reference, or as another view of one.

    :param masks: bool [H, W] by target. :param points: float32 [P, 2] by target; targets without
        any get automatic ones.
    :raises SamgError: the view is not valid, or cannot be written.
    """
    path = destination(options.out, options.add, image, options.overwrite)
    targets = []
    for name, mask in masks.items():
        at = points.get(name)
        if at is None and mask.any():
            at = automatic_points(mask, options.parts)
        targets.append(Target(name, mask, np.zeros((0, 2), np.float32) if at is None else at))
    view = View(rgb, tuple(targets))
    known = Reference.load(options.add).names if options.add else tuple(masks)
    save(combined(view, {"image": image.name, **about}, options.add), path)
    for name in (n for n in masks if n not in known):
        Console().print(f"new target in {path}: {name} (it had {', '.join(known)})")


def save(reference: Reference, path: Path) -> None:
    """Write the file and its preview, and say where they lie."""
    picture = write_reference(reference, path)
    console = Console(highlight=False, soft_wrap=True)
    views = "1 view" if len(reference.views) == 1 else f"{len(reference.views)} views"
    console.print(f"{path}: {views} of {', '.join(reference.names)}")
    console.print(f"{picture}: what it looks like")


def parse_point(text: str, what: str) -> tuple[float, float]:
    """``X,Y`` in pixels. :raises InvalidReferenceError: anything else."""
    try:
        x, y = (float(number) for number in text.split(","))
    except ValueError as error:
        raise InvalidReferenceError(
            f"{what}: {text!r} is not a point; write X,Y in pixels, for example 120,80"
        ) from error
    return x, y
