"""SAM-G's step on encoded frames: from similarity to point prompts, and SAM's refined masks.

Source: SAM-G (arXiv 2312.17116); the refinement is PerSAM's cascade (arXiv 2305.03048).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from samg_ros.masking.config import MaskerConfig
from samg_ros.masking.correspondence import best_views, likeness, similarity
from samg_ros.masking.encoders import Encoders, Seen
from samg_ros.masking.geometry import boxes_of, inside, peak
from samg_ros.masking.memory import reference_features, view_masks
from samg_ros.masking.reference import Reference
from samg_ros.masking.result import FOUND, LOST, LOW_CONFIDENCE, MaskBatch
from samg_ros.masking.scale_weights import learn_scale_weights
from samg_ros.models.base import Prompts
from samg_ros.threads import single_thread

# Decodes of the reference with slightly noisy part features, among which the scale weights learn.
REFERENCE_VARIANTS = 2
REFERENCE_NOISE = 0.02
LEARNING_SIDE = 128


class TargetFinder:
    """Finds one reference's targets in frames that :class:`Encoders` have looked at."""

    def __init__(self, encoders: Encoders, reference: Reference, config: MaskerConfig) -> None:
        self.config = config
        self.target_names = reference.names
        self.device = encoders.device
        self._segmenter = encoders.segmenter
        self._set_reference(encoders, reference)

    @torch.inference_mode()
    def __call__(self, images: Tensor, seen: Seen) -> MaskBatch:
        """:param images: the frames that were seen, uint8 [B, H, W, 3], on the device."""
        height, width = images.shape[1:3]
        embedding = seen.embedding
        similarities = self._compare(seen.maps, self._reference.vectors)
        views = best_views(similarities, self._reference.present)
        alike = likeness(similarities, views, height, width)
        points, labels = _first_points(alike)
        logits, scores = self._segmenter.decode(embedding, Prompts(points, labels))
        best = (logits * self._weights[None, ..., None, None]).sum(2)
        score = (scores * self._weights).sum(2)
        for _ in range(self.config.refine_steps):
            boxes = boxes_of(self._segmenter.to_image(best, height, width) > 0)
            points, labels = _add_negative(points, labels, alike[:, :, 0], boxes)
            prompts = Prompts(points, labels, boxes, best)
            best, score = _take_best(*self._segmenter.decode(embedding, prompts))
        masks = self._segmenter.to_image(best, height, width) > 0
        return self._result(images, masks, score, points, labels)

    @torch.inference_mode()
    def _set_reference(self, encoders: Encoders, reference: Reference) -> None:
        """Compute the targets' features and scale weights from the reference's views."""
        seen = [encoders(torch.from_numpy(view.image)[None]) for view in reference.views]
        view_maps = [s.maps for s in seen]
        self._reference = reference_features(reference, view_maps, self.config.reference_grid)
        height, width = _reduced(reference.views[0].image.shape[:2])
        masks = view_masks(reference, height, width, self.device)
        generator = torch.Generator().manual_seed(0)
        logits = []
        for _ in range(REFERENCE_VARIANTS):
            for view, looked in enumerate(seen):
                logits.append(self._first_logits(looked, view, generator, height, width))
        with single_thread():
            self._weights = learn_scale_weights(
                torch.stack(logits),
                masks.repeat(REFERENCE_VARIANTS, 1, 1, 1),
                self._reference.present.t().repeat(REFERENCE_VARIANTS, 1),
                self.config.scale_steps,
            )

    def _first_logits(
        self, seen: Seen, view: int, generator: torch.Generator, height: int, width: int
    ) -> Tensor:
        """The first decode of one view, its features a little noisy: float [T, 3, H, W]."""
        noisy = [_disturbed(v[:, view : view + 1], generator) for v in self._reference.vectors]
        similarities = self._compare(seen.maps, noisy)
        first = torch.zeros(1, len(self.target_names), dtype=torch.long, device=self.device)
        points, labels = _first_points(likeness(similarities, first, height, width))
        logits, _ = self._segmenter.decode(seen.embedding, Prompts(points, labels))
        flat = self._segmenter.to_image(logits.flatten(1, 2), height, width)
        return flat.unflatten(1, logits.shape[1:3])[0]

    def _compare(self, maps: Sequence[Tensor], vectors: Sequence[Tensor]) -> list[Tensor]:
        """Similarity of every cell to every vector: for each map, float [B, T, K, V, h, w]."""
        return [similarity(m, v) for m, v in zip(maps, vectors, strict=True)]

    def _result(self, images, masks, score, points, labels) -> MaskBatch:
        lost = (score < self.config.lost_score) | ~masks.flatten(2).any(2)
        status = torch.where(score < self.config.min_score, LOW_CONFIDENCE, FOUND)
        status = status.masked_fill(lost, LOST).to(torch.int8)
        masks = masks & ~lost[..., None, None]
        union = masks.any(1)
        return MaskBatch(images * union[..., None], union, masks, score, status, points, labels)


def _first_points(alike: Tensor) -> tuple[Tensor, Tensor]:
    """Most and least alike pixel of each target, then the most alike of each part."""
    positives, _ = peak(alike)
    negative, _ = peak(alike[:, :, :1], lowest=True)
    points = torch.cat([positives[:, :, :1], negative, positives[:, :, 1:]], 2)
    labels = torch.ones(points.shape[:3], dtype=torch.int, device=points.device)
    labels[:, :, 1] = 0
    return points, labels


def _add_negative(points, labels, alike: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Append each box's least alike pixel as a negative point."""
    outside = ~inside(boxes, *alike.shape[-2:])
    negative, _ = peak(alike.masked_fill(outside, torch.inf), lowest=True)
    points = torch.cat([points, negative[:, :, None]], 2)
    return points, torch.cat([labels, torch.zeros_like(labels[:, :, :1])], 2)


def _take_best(logits: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """The mask of best predicted IoU: [B, T, M, M] of [B, T, 3, M, M], and its score [B, T]."""
    score, index = scores.max(2)
    at = index[..., None, None, None].expand(-1, -1, 1, *logits.shape[-2:])
    return logits.gather(2, at)[:, :, 0], score


def _reduced(size: tuple[int, ...]) -> tuple[int, int]:
    """Height and width at which scale weights are learned: at most ``LEARNING_SIDE``."""
    factor = min(1.0, LEARNING_SIDE / max(size))
    return round(size[0] * factor), round(size[1] * factor)


def _disturbed(vectors: Tensor, generator: torch.Generator) -> Tensor:
    """Part features with a little noise, as in the paper's code; the whole's stay as they are."""
    noise = torch.randn(vectors.shape, generator=generator) * REFERENCE_NOISE
    noise[..., 0, :] = 0
    return vectors + noise.to(vectors.device)
