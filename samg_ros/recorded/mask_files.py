"""Hand-made masks in picture files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from samg_ros.errors import ImageError, InvalidReferenceError
from samg_ros.images import decode_unchanged
from samg_ros.recorded.pictures import read_bytes

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
