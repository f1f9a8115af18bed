"""References of picture files: hand-made masks read, and references written with a preview."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from samg_ros.errors import ImageError, InvalidReferenceError
from samg_ros.images import decode_unchanged
from samg_ros.io.atomic import write_png
from samg_ros.io.contact_sheet import draw_overlay
from samg_ros.masking.reference import Reference, View
from samg_ros.recorded.source import read_bytes

# More colours than anybody paints targets with: then the file is a photograph.
MOST_COLOURS = 256


def read_mask(path: Path) -> np.ndarray:
    """A target's mask, bool [H, W], from a PNG, TIFF or BMP.

    Of a cut-out (transparent somewhere) what is not transparent, else what is not black.

    :raises InvalidReferenceError: unreadable, a photograph, a JPEG, or all of the picture.
    """
    pixels = _read(path)
    if pixels.ndim == 3 and pixels.shape[2] == 4 and not pixels[..., 3].all():
        mask = pixels[..., 3] > 0
    else:
        values = _values(pixels)
        if pixels.ndim == 3 and len(np.unique(values)) > MOST_COLOURS:
            raise InvalidReferenceError(
                f"{path} has more than {MOST_COLOURS} colours: it is a photograph, not a mask"
            )
        mask = values > 0
    if mask.all():
        raise InvalidReferenceError(f"the mask {path} covers all of the picture; paint the rest 0")
    return mask


def read_labels(path: Path) -> dict[int, np.ndarray]:
    """The masks of a label image, {value: bool [H, W]}, in ascending order; 0 is none.

    The value of a pixel is its grey level, or its colour as 0xRRGGBB (also where the file has a
    palette).

    :raises InvalidReferenceError: unreadable, or more than ``MOST_COLOURS`` values.
    """
    values = _values(_read(path))
    if (values != np.rint(values)).any():
        raise InvalidReferenceError(
            f"{path} holds numbers that are not whole: it is not a label image"
        )
    found = [int(value) for value in np.unique(values) if value]
    if len(found) > MOST_COLOURS:
        raise InvalidReferenceError(
            f"{path} has {len(found)} different values: it is not a label image"
        )
    return {value: values == value for value in found}


def _read(path: Path) -> np.ndarray:
    try:
        data = read_bytes(path)
        if data.startswith(b"\xff\xd8"):
            raise InvalidReferenceError(
                f"the mask {path} is a JPEG, whose edges are blurred; save it as PNG"
            )
        pixels = decode_unchanged(data)
    except ImageError as error:
        raise InvalidReferenceError(f"mask {path}: {error}") from error
    if not np.isfinite(pixels).all():
        raise InvalidReferenceError(f"the mask {path} holds NaN or infinity; write 0 there")
    return pixels


def _values(pixels: np.ndarray) -> np.ndarray:
    """One whole number a pixel, [H, W]; alpha does not count."""
    if pixels.ndim == 2:
        return pixels
    blue, green, red = (pixels[..., i].astype(np.int64) for i in range(3))
    grey = (blue == green).all() and (green == red).all()
    return red if grey else (red << 16) | (green << 8) | blue


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
