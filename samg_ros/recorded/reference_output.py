"""Writing references: whole, read back, and with a picture of what they say beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from samg_ros.errors import InvalidReferenceError
from samg_ros.io.atomic import write_png
from samg_ros.io.contact_sheet import draw_overlay
from samg_ros.masking.reference import Reference, View

# Of a picture of the preview, px.
PANEL_SIDE = 640


def combined(view: View, about: dict[str, Any], add: Path | None) -> Reference:
    """A new reference, or the one at ``add`` with one more view.

    :param about: where the view came from; kept in the file.
    :raises InvalidReferenceError: ``add`` cannot be read.
    """
    if add is None:
        return Reference((view,), about)
    before = Reference.load(add)
    added = [*before.about.get("added", []), about]
    return Reference((*before.views, view), {**before.about, "added": added})


def destination(out: Path | None, add: Path | None, image: Path, overwrite: bool) -> Path:
    """Where the reference goes: ``out``, the file it is added to, or the image's name here.

    :raises InvalidReferenceError: another file is there.
    """
    path = out or add or Path(f"{image.stem}.npz")
    if path.suffix != ".npz":
        path = path.with_name(f"{path.name}.npz")
    if path.exists() and not overwrite and (add is None or path.resolve() != add.resolve()):
        raise InvalidReferenceError(
            f"{path} is there already: --overwrite replaces it, --add {path} adds a view to it, "
            "--out names another file"
        )
    return path


def write_reference(reference: Reference, path: Path) -> Path:
    """Write the ``.npz`` and its preview. :return: the preview.

    :raises InvalidReferenceError: what was written cannot be read back; nothing is replaced.
    :raises OutputError: the disk refuses it.
    """
    reference.save(path)
    picture = path.with_suffix(".preview.png")
    write_png(picture, preview(reference))
    return picture


def preview(reference: Reference) -> np.ndarray:
    """Every view in a row, beside it each target's mask and points: uint8 [H, W, 3]."""
    side = min(PANEL_SIDE, max(max(view.image.shape) for view in reference.views))
    rows = []
    for view in reference.views:
        panels = [view.image, *(_drawn(view, name) for name in reference.names)]
        rows.append(np.hstack([_panel(panel, side) for panel in panels]))
    return np.vstack(rows)


def _drawn(view: View, name: str) -> np.ndarray:
    """One target in one view; black where the view does not show it."""
    for target in view.targets:
        if target.name == name:
            height, width = target.mask.shape
            points = (target.points + 0.5) / [width, height]
            return draw_overlay(view.image, target.mask, points, np.ones(len(points), int))
    return np.zeros_like(view.image)


def _panel(picture: np.ndarray, side: int) -> np.ndarray:
    """Shrunk to fit a square, and padded with black to fill it: views may differ in size."""
    factor = min(1.0, side / max(picture.shape))
    width, height = (max(1, round(n * factor)) for n in (picture.shape[1], picture.shape[0]))
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return np.pad(small, ((0, side - height), (0, side - width), (0, 0)))
