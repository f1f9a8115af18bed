"""Where in a frame is what the reference shows: features of targets and cosine similarity.

Source: SAM-G (arXiv 2312.17116) section 4, after PerSAM (arXiv 2305.03048).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from samg_ros.masking.reference import Reference, Target


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


def resize(maps: Tensor, height: int, width: int) -> Tensor:
    """Bilinear, over the last two of any number of dimensions."""
    flat = maps.flatten(1, -3)
    fine = F.interpolate(flat, size=(height, width), mode="bilinear", align_corners=False)
    return fine.unflatten(1, maps.shape[1:-2])


def cells_inside(mask: Tensor, grid: int) -> Tensor:
    """Bool [grid * grid]: cells at least half covered; of a thin target the most covered."""
    covered = F.adaptive_avg_pool2d(mask[None, None], grid).flatten()
    return covered >= covered.amax().clamp(max=0.5)


@dataclass(frozen=True)
class ReferenceFeatures:
    """Vectors to compare frames with.

    ``vectors``: for each feature map, float [T, K, 1 + P, C]; zero where a view lacks the target.
    ``present``: bool [T, K].
    """

    vectors: tuple[Tensor, ...]
    present: Tensor


def reference_features(
    reference: Reference, view_maps: Sequence[Sequence[Tensor]], grid: int
) -> ReferenceFeatures:
    """:param view_maps: for each view, its feature maps, float [1, C, h, w] each."""
    names, device = reference.names, view_maps[0][0].device
    parts = max(len(t.points) for view in reference.views for t in view.targets)
    shape = (len(names), len(reference.views), 1 + parts)
    vectors = [torch.zeros(*shape, m.shape[1], device=device) for m in view_maps[0]]
    present = torch.zeros(shape[:2], dtype=torch.bool, device=device)
    for v, (view, maps) in enumerate(zip(reference.views, view_maps, strict=True)):
        for target in view.targets:
            t = names.index(target.name)
            mask = torch.from_numpy(target.mask).float().to(device)
            points = _relative_points(target, parts).to(device)
            present[t, v] = True
            for kept, feature_map in zip(vectors, maps, strict=True):
                kept[t, v] = target_features(feature_map, mask, points, grid)
    return ReferenceFeatures(tuple(vectors), present)


def view_masks(reference: Reference, height: int, width: int, device: torch.device) -> Tensor:
    """All masks, float [K, T, height, width], 0 or 1; empty where a view lacks the target."""
    names = reference.names
    masks = torch.zeros(len(reference.views), len(names), height, width)
    for v, view in enumerate(reference.views):
        for target in view.targets:
            full = torch.from_numpy(target.mask).float()[None, None]
            small = torch.nn.functional.adaptive_avg_pool2d(full, (height, width))[0, 0]
            # Half covered; of a thin target, which covers no cell by half, the most covered.
            masks[v, names.index(target.name)] = (small >= small.amax().clamp(max=0.5)).float()
    return masks.to(device)


def _relative_points(target: Target, count: int) -> Tensor:
    """Exactly ``count`` part points, float [count, 2], relative to the image.

    Targets may have different numbers of points; a shorter list repeats its last one (or takes a
    pixel in the middle of the mask), which asks the decoder twice for the same point.
    """
    height, width = target.mask.shape
    points = torch.from_numpy(target.points).float()
    if not len(points) and count:
        ys, xs = target.mask.nonzero()
        points = torch.tensor([[float(xs[len(xs) // 2]), float(ys[len(ys) // 2])]])
    if len(points) < count:
        points = torch.cat([points, points[-1:].expand(count - len(points), -1)])
    return (points + 0.5) / torch.tensor([width, height])
