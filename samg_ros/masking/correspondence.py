"""Where in a frame is what the reference shows: features of targets and cosine similarity.

Source: SAM-G (arXiv 2312.17116) section 4, after PerSAM (arXiv 2305.03048).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def target_features(feature_map: Tensor, masks: Tensor, points: Tensor, grid: int) -> Tensor:
    """The vectors that stand for each target: the whole of it, then each of its parts.

    :param feature_map: float [1, C, h, w] of the reference image.
    :param masks: float [T, H, W], 1 on the target.
    :param points: float [T, P, 2], part points (x, y) relative to the image, in [0, 1].
    :param grid: cells a side on which map and masks are laid over each other.
    :return: float [T, 1 + P, C], L2-normalised.
    """
    resized = F.interpolate(feature_map, size=(grid, grid), mode="bilinear", align_corners=False)
    cells = resized[0].flatten(1)
    inside = _cells_inside(masks, grid)
    whole = torch.stack([_mean_and_max(cells[:, chosen]) for chosen in inside])
    at = points.unsqueeze(0) * 2 - 1
    parts = F.grid_sample(resized, at, align_corners=False, padding_mode="border")
    vectors = torch.cat([whole[:, None], parts[0].permute(1, 2, 0)], 1)
    return F.normalize(vectors, dim=-1)


def similarity(feature_map: Tensor, vectors: Tensor, height: int, width: int) -> Tensor:
    """Cosine similarity of every pixel to every vector.

    :param feature_map: float [B, C, h, w]. :param vectors: float [T, V, C], normalised.
    :return: float [B, T, V, height, width], in [-1, 1].
    """
    targets, count, _ = vectors.shape
    cells = F.normalize(feature_map, dim=1)
    coarse = torch.einsum("bchw,vc->bvhw", cells, vectors.flatten(0, 1))
    fine = F.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)
    return fine.unflatten(1, (targets, count))


def _cells_inside(masks: Tensor, grid: int) -> Tensor:
    """Bool [T, grid * grid]: cells at least half covered; for thin targets the most covered."""
    covered = F.adaptive_avg_pool2d(masks.unsqueeze(1), grid).flatten(1)
    threshold = covered.amax(1, keepdim=True).clamp(max=0.5)
    return covered >= threshold


def _mean_and_max(cells: Tensor) -> Tensor:
    """(mean + max) / 2 over the cells of a target, [C, n] -> [C]."""
    return (cells.mean(1) + cells.amax(1)) / 2
