"""One mask out of the three that SAM offers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from samg_ros.masking.foreground import Foreground
from samg_ros.models.base import Segmenter
from samg_ros.models.loading import scaled_size

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


LEARNING_RATE = 1e-3
FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0


@torch.inference_mode(False)
@torch.enable_grad()
def learn_scale_weights(logits: Tensor, masks: Tensor, present: Tensor, steps: int) -> Tensor:
    """Weights of the three scales that bring their sum nearest to the reference masks.

    w0 = 1 - w1 - w2; AdamW with cosine decay on dice + sigmoid focal loss. Each step takes one of
    K decodes of the reference (views, with a little noise in their prompts) in turn.

    :param logits: float [K, T, 3, H, W]. :param masks: float [K, T, H, W], 0 or 1.
    :param present: bool [K, T], whether the target is seen there.
    :param steps: 0 keeps the three scales equal.
    :return: float [T, 3], rows sum to 1.
    """
    # The models' outputs are inference tensors, which autograd refuses: copies are not.
    logits, masks, present = logits.clone(), masks.clone(), present.clone()
    free = torch.full((logits.shape[1], 2), 1 / 3, device=logits.device, requires_grad=True)
    optimizer = torch.optim.AdamW([free], lr=LEARNING_RATE, eps=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(steps, 1))
    for step in range(steps):
        turn = step % len(logits)
        mixed = (logits[turn] * _all_three(free)[..., None, None]).sum(1)
        losses = _dice(mixed, masks[turn]) + _focal(mixed, masks[turn])
        optimizer.zero_grad()
        (losses * present[turn]).sum().backward()
        optimizer.step()
        schedule.step()
    return _all_three(free).detach()


def _all_three(free: Tensor) -> Tensor:
    return torch.cat([1 - free.sum(1, keepdim=True), free], 1)


def _dice(logits: Tensor, masks: Tensor) -> Tensor:
    probability, truth = logits.sigmoid().flatten(1), masks.flatten(1)
    overlap = 2 * (probability * truth).sum(1)
    return 1 - (overlap + 1) / (probability.sum(1) + truth.sum(1) + 1)


def _focal(logits: Tensor, masks: Tensor) -> Tensor:
    entropy = F.binary_cross_entropy_with_logits(logits, masks, reduction="none")
    probability = logits.sigmoid()
    right = probability * masks + (1 - probability) * (1 - masks)
    weight = FOCAL_ALPHA * masks + (1 - FOCAL_ALPHA) * (1 - masks)
    return (weight * entropy * (1 - right) ** FOCAL_GAMMA).flatten(1).mean(1)
