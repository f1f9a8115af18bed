"""What the masker keeps of a reference: features of every target in every view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from samg_ros.masking.correspondence import target_features
from samg_ros.masking.reference import Reference, Target


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
