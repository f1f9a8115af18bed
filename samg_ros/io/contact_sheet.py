"""Many small pictures on one page, in rows and columns with labels."""

from __future__ import annotations

import re
from collections.abc import Sequence

import cv2
import numpy as np

from samg_ros.errors import ImageError

GAP = 3  # px between pictures
MARGIN = 6  # px around labels
LINE = 15  # px
PAPER, INK, EMPTY = (255, 255, 255), (20, 20, 20), (225, 225, 225)
_FONT, _SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.4
_ROW_LABEL_WIDTH = 150
# A label may be broken after these.
_BREAKS = "_,=/@ "
_QUALITIES = range(92, 40, -4)


def draw_sheet(
    columns: Sequence[str], rows: Sequence[str], cells: Sequence[Sequence[np.ndarray | None]]
) -> np.ndarray:
    """:param columns: labels above the columns. :param rows: labels left of the rows.
    :param cells: for each row a picture a column, all uint8 [H, W, 3]; None leaves a grey field.
    :return: uint8 [height, width, 3] RGB.
    :raises ImageError: there is no picture at all, or they differ in size.
    """
    shapes = {cell.shape for row in cells for cell in row if cell is not None}
    if len(shapes) != 1:
        raise ImageError(f"a contact sheet needs pictures of one size, got {sorted(shapes)}")
    height, width, _ = shapes.pop()
    heads = [break_label(label, width) for label in columns]
    sides = [break_label(label, _ROW_LABEL_WIDTH) for label in rows]
    top = max(map(len, heads)) * LINE + 2 * MARGIN
    left = max(_width(line) for lines in sides for line in lines) + 2 * MARGIN
    # A row must be as high as its label is.
    pitch = max(height, max(map(len, sides)) * LINE) + GAP
    size = (top + len(rows) * pitch, left + len(columns) * (width + GAP))
    sheet = np.full((*size, 3), PAPER, np.uint8)
    for index, lines in enumerate(heads):
        first = top - MARGIN - (len(lines) - 1) * LINE
        _write(sheet, lines, left + index * (width + GAP), first)
    for index, lines in enumerate(sides):
        _write(sheet, lines, MARGIN, top + index * pitch + LINE)
    for y, row in enumerate(cells):
        for x, cell in enumerate(row):
            place = sheet[top + y * pitch :, left + x * (width + GAP) :][:height, :width]
            place[...] = EMPTY if cell is None else cell
    return sheet


def break_label(text: str, width: int) -> list[str]:
    """Lines of at most ``width`` px, unless a single word is longer."""
    lines = [""]
    for word in re.findall(rf"[^{_BREAKS}]*[{_BREAKS}]|[^{_BREAKS}]+$", text):
        if lines[-1] and _width(lines[-1] + word.rstrip()) > width:
            lines.append("")
        lines[-1] += word
    return [line.strip() for line in lines]


def encode_jpeg(picture: np.ndarray, limit: int) -> bytes:
    """A JPEG file of at most ``limit`` bytes, as good as that allows.

    :param picture: uint8 [H, W, 3] RGB. :raises ImageError: not even a poor one is that small.
    """
    for quality in _QUALITIES:
        flags = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
        data = cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]), flags)[1]
        if data.size <= limit:
            return data.tobytes()
    raise ImageError(
        f"a picture of {picture.shape[1]}x{picture.shape[0]} does not fit into {limit} bytes: "
        "make it smaller"
    )


def _width(line: str) -> int:
    return cv2.getTextSize(line, _FONT, _SCALE, 1)[0][0]


def _write(sheet: np.ndarray, lines: list[str], x: int, y: int) -> None:
    for number, line in enumerate(lines):
        at = (x, y + number * LINE)
        cv2.putText(sheet, line, at, _FONT, _SCALE, INK, 1, cv2.LINE_AA)


MASK_COLOUR = (30, 220, 90)
POSITIVE, NEGATIVE = (255, 235, 40), (255, 60, 60)


def draw_overlay(
    rgb: np.ndarray,
    mask: np.ndarray,
    points: np.ndarray | None = None,
    labels: np.ndarray | None = None,
) -> np.ndarray:
    """Tint a mask, outline it, and mark the prompts.

    :param rgb: uint8 [H, W, 3]. :param mask: bool [H, W].
    :param points: float [N, 2], (x, y) relative to the image. :param labels: int [N].
    :return: uint8 [H, W, 3].
    """
    picture = rgb.copy()
    picture[mask] = picture[mask] // 2 + np.array(MASK_COLOUR, np.uint8) // 2
    outlines, _ = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    cv2.drawContours(picture, outlines, -1, MASK_COLOUR, 1)
    if points is None or labels is None:
        return picture
    height, width = mask.shape
    for (x, y), label in zip(points, labels, strict=True):
        centre = (int(x * width), int(y * height))
        cv2.circle(picture, centre, max(2, height // 100), POSITIVE if label else NEGATIVE, -1)
    return picture
