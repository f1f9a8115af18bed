"""One mask out of the three that SAM offers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from samg_ros.masking.foreground import Foreground
from samg_ros.models.base import Segmenter
from samg_ros.models.sizes import scaled_size

# A mask is sampled this often along a cell's side: thin things do not fill cells.
SAMPLES = 2


@dataclass(frozen=True)
class Chosen:
    """``logits``: float [B, T, M, M], low-resolution. ``score``: float [B, T], predicted IoU."""

    logits: Tensor
    score: Tensor


def weighted(logits: Tensor, scores: Tensor, weights: Tensor) -> Chosen:
    """The sum of the three by learned weights, float [T, 3] (PerSAM-F).

    :param logits: float [B, T, 3, M, M]. :param scores: float [B, T, 3].
    """
    return Chosen((logits * weights[None, ..., None, None]).sum(2), (scores * weights).sum(2))


def best(logits: Tensor, scores: Tensor, quality: Tensor | None = None) -> Chosen:
    """The mask of best quality, float [B, T, 3]; by default the predicted IoU."""
    index = (scores if quality is None else quality).argmax(2, keepdim=True)
    at = index[..., None, None].expand(-1, -1, 1, *logits.shape[-2:])
    return Chosen(logits.gather(2, at)[:, :, 0], scores.gather(2, index)[..., 0])


def agreement(
    segmenter: Segmenter, logits: Tensor, foreground: Foreground, frame: tuple[int, int]
) -> Tensor:
    """IoU, with soft edges, of each mask and the foreground, float [B, T, 3].

    SAM's predicted IoU asks whether a mask ends where something ends; this asks whether it holds
    what the reference shows, all of it and nothing else.

    :param frame: height and width, whose ratio says how much of the logits is picture.
    """
    grid = foreground.likeness.shape[-1]
    size = scaled_size(*frame, SAMPLES * grid)
    inside = segmenter.to_image(logits.flatten(1, 2), *size) > 0
    masks = F.adaptive_avg_pool2d(inside.float(), grid).unflatten(1, logits.shape[1:3])
    likely = foreground.probability[:, :, None]
    shared = torch.minimum(masks, likely).sum((-2, -1))
    return shared / torch.maximum(masks, likely).sum((-2, -1)).clamp(min=1e-6)
