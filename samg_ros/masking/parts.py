"""Part points of a mask: where a target is clicked."""

from __future__ import annotations

import cv2
import numpy as np

from samg_ros.masking.config import PART_POINTS


def part_points(mask: np.ndarray, count: int = PART_POINTS) -> np.ndarray:
    """One point in each of ``count`` parts of a mask: k-means of its pixels.

    The clusters begin at points spread by farthest-point sampling, so the result is the same
    every time. A point lies at least two pixels from the edge where its part is thick enough.

    :param mask: bool [H, W], not empty.
    :return: float32 [P, 2], (x, y) in pixels; P is ``count``, or fewer for a mask of fewer pixels.
    """
    if count == 0:
        return np.zeros((0, 2), np.float32)
    pixels = _coordinates(mask)
    if len(pixels) <= count:
        return pixels
    spread = _farthest_points(pixels, count)
    labels = _squared_distances(pixels, spread).argmin(1).astype(np.int32)
    stop = (cv2.TERM_CRITERIA_MAX_ITER, 50, 0)
    start = cv2.KMEANS_USE_INITIAL_LABELS
    _, labels, centres = cv2.kmeans(pixels, len(spread), labels, stop, 1, start)
    depth = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    depths, parts = depth[mask], labels.ravel()
    return np.stack(
        [_middle(pixels[parts == i], depths[parts == i], c) for i, c in enumerate(centres)]
    )


def _middle(part: np.ndarray, depths: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """The pixel of a part nearest to its centre, away from the edge if any is."""
    inner = part[depths >= min(2.0, depths.max())]
    return inner[_squared_distances(inner, centre[None])[:, 0].argmin()]


def _coordinates(mask: np.ndarray) -> np.ndarray:
    """(x, y) of a mask's pixels, float32 [n, 2]."""
    ys, xs = np.nonzero(mask)
    return np.stack([xs, ys], 1).astype(np.float32)


def _squared_distances(pixels: np.ndarray, points: np.ndarray) -> np.ndarray:
    return ((pixels[:, None] - points[None]) ** 2).sum(2)


def _farthest_points(pixels: np.ndarray, count: int) -> np.ndarray:
    chosen = [pixels[_squared_distances(pixels, pixels.mean(0)[None]).argmin()]]
    while len(chosen) < count:
        chosen.append(pixels[_squared_distances(pixels, np.stack(chosen)).min(1).argmax()])
    return np.stack(chosen)
