"""Pictures of what the masker found, for people."""

from __future__ import annotations

import cv2
import numpy as np

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
