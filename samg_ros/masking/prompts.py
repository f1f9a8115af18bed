"""Point prompts: where a target is most and least alike, and clicks that correct a mask.

Points are float [B, T, N, 2], (x, y) relative to the image; labels are int [B, T, N], 1 on the
target and 0 off it. Every step adds the same number of points to every target of every frame, so
that a batch needs no decisions on the host.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from samg_ros.masking.foreground import Foreground
from samg_ros.models.base import Prompts

# A cell is missed by a mask if it is this alike (as a share, see Foreground.level), and one is
# taken by mistake if it is this unalike.
MISSED, TAKEN = 0.75, 0.35
# A cell that is covered by more than EDGE is near a mask; one covered by more than INNER, in it.
EDGE, INNER = 0.2, 0.9
# What a box grows beyond a click outside it, relative to the image.
CLICK_MARGIN = 0.01
# The box of an empty mask: nearly the whole frame, so that the next decode may find it again.
WHOLE_FRAME = (0.01, 0.01, 0.99, 0.99)
# A box's corners are middles of pixels, up to this.
ROUNDING = 1e-6


def first_points(alike: Tensor, negatives: bool) -> tuple[Tensor, Tensor]:
    """Most alike pixel of each target, the least alike if wanted, the most alike of each part.

    :param alike: float [B, T, V, H, W], likeness to the whole, then to each part.
    """
    points, _ = peak(alike)
    labels = torch.ones(points.shape[:3], dtype=torch.int, device=points.device)
    if not negatives:
        return points, labels
    negative, _ = peak(alike[:, :, :1], lowest=True)
    points = torch.cat([points[:, :, :1], negative, points[:, :, 1:]], 2)
    labels = torch.cat([labels[:, :, :1], torch.zeros_like(labels[:, :, :1]), labels[:, :, 1:]], 2)
    return points, labels


def refined(
    prompts: Prompts, masks: Tensor, alike: Tensor, negatives: bool, foreground: Foreground | None
) -> Prompts:
    """The prompts of the next decode: the mask's box, and points where it looks wrong.

    :param prompts: those of the decode before, with its logits. :param masks: bool [B, T, H, W].
    :param alike: float [B, T, H, W], likeness to the whole.
    :param foreground: where the target is, for clicks; None adds none.
    """
    points, labels, boxes = prompts.points, prompts.labels, boxes_of(masks)
    if negatives:
        outside = ~inside(boxes, *alike.shape[-2:])
        least, _ = peak(alike.masked_fill(outside, torch.inf), lowest=True)
        points, labels = _append(points, labels, least, 0)
    if foreground is not None:
        covered = _coverage(masks, foreground.likeness.shape[-1])
        missed, is_missed = _missed(foreground, covered)
        points, labels = _append(points, labels, _where(is_missed, missed, points[:, :, 0]), 1)
        boxes = _where(is_missed, _stretched(boxes, missed), boxes)
        taken, is_taken = _taken(foreground, covered)
        elsewhere, _ = peak(alike, lowest=True)
        points, labels = _append(points, labels, _where(is_taken, taken, elsewhere), 0)
    return Prompts(points, labels, boxes, prompts.masks)


def _missed(foreground: Foreground, covered: Tensor) -> tuple[Tensor, Tensor]:
    """The most alike cell away from the mask, float [B, T, 2], and whether it is alike enough."""
    near = F.max_pool2d(covered, 3, 1, 1) > EDGE
    at, value = peak(foreground.likeness.masked_fill(near, -1))
    return at, value > foreground.level(MISSED)


def _taken(foreground: Foreground, covered: Tensor) -> tuple[Tensor, Tensor]:
    """The least alike cell inside the mask, float [B, T, 2], and whether it is that unalike."""
    at, value = peak(foreground.likeness.masked_fill(covered < INNER, torch.inf), lowest=True)
    return at, value < foreground.level(TAKEN)


def _coverage(masks: Tensor, grid: int) -> Tensor:
    """Share of each cell that a mask covers, float [B, T, grid, grid]."""
    return F.adaptive_avg_pool2d(masks.float(), grid)


def _stretched(boxes: Tensor, points: Tensor) -> Tensor:
    """Boxes [..., 4] that hold points [..., 2] as well."""
    low = torch.minimum(boxes[..., :2], points - CLICK_MARGIN)
    high = torch.maximum(boxes[..., 2:], points + CLICK_MARGIN)
    return torch.cat([low, high], -1).clamp(0, 1)


def _where(condition: Tensor, one: Tensor, other: Tensor) -> Tensor:
    return torch.where(condition[..., None], one, other)


def _append(points: Tensor, labels: Tensor, added: Tensor, label: int) -> tuple[Tensor, Tensor]:
    points = torch.cat([points, added[:, :, None]], 2)
    return points, torch.cat([labels, torch.full_like(labels[:, :, :1], label)], 2)


def peak(maps: Tensor, *, lowest: bool = False) -> tuple[Tensor, Tensor]:
    """The position and value of each map's maximum (or minimum).

    :param maps: float [..., H, W].
    :return: float [..., 2], the middle of the pixel; float [...], the value there.
    """
    height, width = maps.shape[-2:]
    flat = maps.flatten(-2)
    value, index = flat.min(-1) if lowest else flat.max(-1)
    y = torch.div(index, width, rounding_mode="floor")
    at = torch.stack([(index % width + 0.5) / width, (y + 0.5) / height], -1)
    return at, value


def boxes_of(masks: Tensor) -> Tensor:
    """Bounding boxes, float [..., 4] as (x0, y0, x1, y1), of bool masks [..., H, W].

    The corners are the middles of the outermost pixels; an empty mask gives ``WHOLE_FRAME``.
    """
    x0, x1 = _extent(masks.any(-2))
    y0, y1 = _extent(masks.any(-1))
    something = masks.flatten(-2).any(-1)
    # Numbers, not a tensor of them, which would be copied to the device and waited for.
    corners = zip((x0, y0, x1, y1), WHOLE_FRAME, strict=True)
    return torch.stack([torch.where(something, own, whole) for own, whole in corners], -1)


def inside(boxes: Tensor, height: int, width: int) -> Tensor:
    """Bool [..., H, W]: pixels whose middle lies within the box, float [..., 4]."""
    x = (torch.arange(width, device=boxes.device) + 0.5) / width
    y = (torch.arange(height, device=boxes.device) + 0.5) / height
    columns = (x >= boxes[..., 0:1] - ROUNDING) & (x <= boxes[..., 2:3] + ROUNDING)
    rows = (y >= boxes[..., 1:2] - ROUNDING) & (y <= boxes[..., 3:4] + ROUNDING)
    return rows.unsqueeze(-1) & columns.unsqueeze(-2)


def _extent(occupied: Tensor) -> tuple[Tensor, Tensor]:
    """First and last occupied cell of bool [..., n], relative, at the cells' middles."""
    cells = occupied.shape[-1]
    numbers = occupied.to(torch.uint8)
    first = numbers.argmax(-1)
    last = cells - 1 - numbers.flip(-1).argmax(-1)
    return (first + 0.5) / cells, (last + 0.5) / cells
