"""Masks from clicks: what a segmenter makes of points that a person gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from samg_ros.errors import ConfigError, InvalidReferenceError
from samg_ros.masking.config import EXTENTS
from samg_ros.models.base import Embedding, Prompts, Segmenter

# Each further decode sees the mask before it, as SAM's own interactive use does.
ROUNDS = 3
# One click often makes SAM prefer a part of what is meant: on 15 views of the simulator's objects,
# the largest mask whose predicted IoU is at most this far below the best one's had a mean IoU of
# 0.77, the best one 0.63. With four clicks it is the other way round.
SINGLE_CLICK_SLACK = 0.2


@dataclass(frozen=True)
class Clicks:
    """Where a person clicked for one target. ``positive`` and ``negative``: (x, y) in pixels."""

    name: str
    positive: tuple[tuple[float, float], ...]
    negative: tuple[tuple[float, float], ...] = ()


@torch.inference_mode()
def segment_clicks(
    segmenter: Segmenter, image: np.ndarray, targets: Sequence[Clicks], extent: str = "auto"
) -> list[np.ndarray]:
    """One mask a target, on every positive click and off every negative one.

    SAM offers three masks for the same clicks, from a part to the whole. Of those that agree with
    the clicks, ``part`` takes the smallest, ``whole`` the largest, and ``auto`` the one of best
    predicted IoU, or for a single positive click the largest of the good ones.

    :param image: uint8 [H, W, 3] RGB.
    :return: bool [H, W] each.
    :raises InvalidReferenceError: a click outside the image, no positive click, or no mask that
        agrees with the clicks.
    :raises ConfigError: an unknown ``extent``.
    """
    if extent not in EXTENTS:
        raise ConfigError(f"extent is {extent!r}; choose one of: {', '.join(EXTENTS)}")
    for clicks in targets:
        check_clicks(clicks, *image.shape[:2])
    pixels = torch.from_numpy(np.ascontiguousarray(image)).to(segmenter.device)
    embedding = segmenter.encode(pixels.permute(2, 0, 1)[None].float() / 255)
    return [_segment(segmenter, embedding, c, image.shape[:2], extent) for c in targets]


def _segment(
    segmenter: Segmenter, embedding: Embedding, clicks: Clicks, size: tuple[int, ...], extent: str
) -> np.ndarray:
    height, width = size
    at = torch.tensor([[*clicks.positive, *clicks.negative]], device=segmenter.device)
    points = (at[None] + 0.5) / torch.tensor([width, height], device=segmenter.device)
    given = [1] * len(clicks.positive) + [0] * len(clicks.negative)
    labels = torch.tensor([[given]], dtype=torch.int, device=segmenter.device)
    before: Tensor | None = None
    found: np.ndarray | None = None
    for _ in range(ROUNDS):
        logits, scores = segmenter.decode(embedding, Prompts(points, labels, masks=before))
        masks = (segmenter.to_image(logits[:, 0], height, width)[0] > 0).cpu().numpy()
        chosen, agrees = choose(masks, scores[0, 0].cpu().numpy(), clicks, extent)
        before = logits[:, :, chosen]
        if agrees:
            found = masks[chosen]
        elif found is not None:
            break
    if found is None:
        raise InvalidReferenceError(_disagreement(masks[chosen], clicks))
    return found


def choose(masks: np.ndarray, scores: np.ndarray, clicks: Clicks, extent: str) -> tuple[int, bool]:
    """Which of SAM's masks is meant, and whether it agrees with all clicks.

    Where none agrees, the one that disagrees with the fewest clicks.

    :param masks: bool [3, H, W]. :param scores: float [3], predicted IoU.
    """
    wrong = np.array([len(_missed(m, clicks)) + len(_hit(m, clicks)) for m in masks])
    candidates = np.flatnonzero(wrong == wrong.min())
    areas = masks.sum((1, 2))
    order = {"auto": scores, "part": -areas, "whole": areas}[extent]
    if extent == "auto" and len(clicks.positive) == 1:
        least = scores[candidates].max() - SINGLE_CLICK_SLACK
        candidates, order = candidates[scores[candidates] >= least], areas
    chosen = candidates[order[candidates].argmax()]
    return int(chosen), bool(wrong.min() == 0)


def _missed(mask: np.ndarray, clicks: Clicks) -> list[tuple[float, float]]:
    return [p for p in clicks.positive if not mask[_pixel(p)]]


def _hit(mask: np.ndarray, clicks: Clicks) -> list[tuple[float, float]]:
    return [p for p in clicks.negative if mask[_pixel(p)]]


def _pixel(point: tuple[float, float]) -> tuple[int, int]:
    return int(point[1]), int(point[0])


def _disagreement(mask: np.ndarray, clicks: Clicks) -> str:
    missed = " ".join(f"{x:g},{y:g}" for x, y in _missed(mask, clicks))
    hit = " ".join(f"-{x:g},{y:g}" for x, y in _hit(mask, clicks))
    faults = [f"misses {missed}"] * bool(missed) + [f"covers {hit}"] * bool(hit)
    return (
        f"no mask of target {clicks.name!r} agrees with its clicks: the nearest "
        f"{' and '.join(faults)}. Click further from its edges, add clicks, or make it two targets"
    )


def check_clicks(clicks: Clicks, height: int, width: int) -> None:
    """:raises InvalidReferenceError: no positive click, or one outside the image."""
    if not clicks.positive:
        raise InvalidReferenceError(f"target {clicks.name!r} needs a click on it, X,Y")
    for x, y in (*clicks.positive, *clicks.negative):
        if not (0 <= x <= width - 1 and 0 <= y <= height - 1):
            raise InvalidReferenceError(
                f"the click {x:g},{y:g} for target {clicks.name!r} lies outside the "
                f"{width}x{height} image"
            )
