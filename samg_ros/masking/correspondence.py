"""Where in a frame is what the reference shows: features of targets and cosine similarity.

Source: SAM-G (arXiv 2312.17116) section 4, after PerSAM (arXiv 2305.03048).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from samg_ros.masking.geometry import resize


def target_features(feature_map: Tensor, mask: Tensor, points: Tensor, grid: int) -> Tensor:
    """The vectors that stand for a target in one view: the whole of it, then each of its parts.

    :param feature_map: float [1, C, h, w] of the view's image.
    :param mask: float [H, W], 1 on the target.
    :param points: float [P, 2], part points (x, y) relative to the image, in [0, 1].
    :param grid: cells a side on which map and mask are laid over each other.
    :return: float [1 + P, C], L2-normalised.
    """
    resized = F.interpolate(feature_map, size=(grid, grid), mode="bilinear", align_corners=False)
    cells = resized[0].flatten(1)[:, cells_inside(mask, grid)]
    whole = (cells.mean(1) + cells.amax(1)) / 2
    at = points[None, None] * 2 - 1
    parts = F.grid_sample(resized, at, align_corners=False, padding_mode="border")
    return F.normalize(torch.cat([whole[None], parts[0, :, 0].t()]), dim=-1)


def similarity(feature_map: Tensor, vectors: Tensor) -> Tensor:
    """Cosine similarity of every cell to every vector.

    :param feature_map: float [B, C, h, w]. :param vectors: float [..., C], normalised.
    :return: float [B, ..., h, w], in [-1, 1].
    """
    cells = F.normalize(feature_map, dim=1)
    flat = torch.einsum("bchw,vc->bvhw", cells, vectors.flatten(0, -2))
    return flat.unflatten(1, vectors.shape[:-1])


def best_views(similarities: list[Tensor], present: Tensor) -> Tensor:
    """Which view of each target fits each frame best: whose parts are found most surely.

    :param similarities: for each feature map, float [B, T, K, V, h, w]; V begins with the whole.
    :param present: bool [T, K], whether the view shows the target.
    :return: int [B, T], a view each.
    """
    size = similarities[0].shape[-2:]
    found = torch.stack([resize(s, *size) for s in similarities]).mean(0).flatten(-2).amax(-1)
    parts = found[..., 1:] if found.shape[-1] > 1 else found
    return parts.mean(-1).masked_fill(~present, -torch.inf).argmax(2)


def likeness(similarities: list[Tensor], views: Tensor, height: int, width: int) -> Tensor:
    """Similarity to the chosen views' vectors, averaged over the feature maps, by pixel.

    :param similarities: as in :func:`best_views`. :param views: int [B, T].
    :return: float [B, T, V, height, width].
    """
    chosen = []
    for cells in similarities:
        index = views[:, :, None, None, None, None].expand(-1, -1, 1, *cells.shape[3:])
        chosen.append(resize(cells.gather(2, index)[:, :, 0], height, width))
    return torch.stack(chosen).mean(0)


def cells_inside(mask: Tensor, grid: int) -> Tensor:
    """Bool [grid * grid]: cells at least half covered; of a thin target the most covered."""
    covered = F.adaptive_avg_pool2d(mask[None, None], grid).flatten()
    return covered >= covered.amax().clamp(max=0.5)
