"""How well a mask agrees with the truth."""

from __future__ import annotations

import cv2
import numpy as np

# A boundary pixel counts as found within this share of the image's diagonal (DAVIS benchmark,
# Perazzi et al. 2016), but never less than one pixel.
BOUNDARY_TOLERANCE = 0.008


def iou(mask: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of two bool [H, W]; 1 where both are empty."""
    union = np.count_nonzero(mask | truth)
    return np.count_nonzero(mask & truth) / union if union else 1.0


def boundary_f(mask: np.ndarray, truth: np.ndarray) -> float:
    """F-score of the outlines of two bool [H, W], within :data:`BOUNDARY_TOLERANCE`."""
    found, wanted = _outline(mask), _outline(truth)
    if not found.any() and not wanted.any():
        return 1.0
    if not found.any() or not wanted.any():
        return 0.0
    reach = max(1, round(BOUNDARY_TOLERANCE * float(np.hypot(*mask.shape))))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    precision = (found & _grown(wanted, disc)).sum() / found.sum()
    recall = (wanted & _grown(found, disc)).sum() / wanted.sum()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def _outline(mask: np.ndarray) -> np.ndarray:
    """Pixels of the mask that touch what is not mask."""
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return mask & ~(cv2.erode(mask.astype(np.uint8), cross) > 0)


def _grown(mask: np.ndarray, element: np.ndarray) -> np.ndarray:
    return cv2.dilate(mask.astype(np.uint8), element) > 0
