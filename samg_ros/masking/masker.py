"""SAM-G's step: frames in, masked frames out, as one batch on one device.

Source: SAM-G (arXiv 2312.17116); the refinement is PerSAM's cascade (arXiv 2305.03048).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from samg_ros.masking.config import MaskerConfig
from samg_ros.masking.correspondence import best_views, likeness, similarity
from samg_ros.masking.geometry import boxes_of, inside, peak
from samg_ros.masking.memory import reference_features, view_masks
from samg_ros.masking.reference import Reference, View
from samg_ros.masking.scale_weights import learn_scale_weights
from samg_ros.models.base import Embedding, FeatureExtractor, Prompts, Segmenter
from samg_ros.threads import single_thread

LOST, LOW_CONFIDENCE, FOUND = 0, 1, 2
STATUS_NAMES = ("lost", "low_confidence", "found")

# Decodes of the reference with slightly noisy part features, among which the scale weights learn.
REFERENCE_VARIANTS = 2
REFERENCE_NOISE = 0.02
LEARNING_SIDE = 128


@dataclass(frozen=True)
class MaskBatch:
    """The result for B frames; every tensor is on the masker's device.

    ``rgb``: uint8 [B, H, W, 3], zero off the targets. ``mask``: bool [B, H, W], all targets.
    ``target_masks``: bool [B, T, H, W]. ``scores``: float [B, T], predicted IoU; ``score``: float
    [B], the worst found target's, 0 where all are lost. ``status``: int8 [B, T], an index of
    ``STATUS_NAMES``. ``points``: float [B, T, N, 2], relative (x, y); ``labels``: int [B, T, N].
    """

    rgb: Tensor
    mask: Tensor
    target_masks: Tensor
    scores: Tensor
    status: Tensor
    points: Tensor
    labels: Tensor

    @property
    def score(self) -> Tensor:
        return self.scores.masked_fill(self.status == LOST, torch.inf).amin(1).nan_to_num(posinf=0)

    @property
    def frame_status(self) -> Tensor:
        """int8 [B]: lost where every target is, found where every target is."""
        worst, best = self.status.amin(1), self.status.amax(1)
        return torch.where(best == LOST, best, worst.clamp(min=LOW_CONFIDENCE))


class SamgMasker:
    """Finds a reference's targets in frames.

    :param features: the second feature map (DINOv2); None uses the segmenter's own alone.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        features: FeatureExtractor | None,
        reference: Reference,
        config: MaskerConfig,
    ) -> None:
        self.config = config
        self.device = segmenter.device
        self.target_names = reference.names
        self._segmenter = segmenter
        self._features = features
        self._set_reference(reference)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> MaskBatch:
        """Mask a batch of frames of one size.

        :param images: uint8 [B, H, W, 3] RGB, on any device.
        """
        images = images.to(self.device, non_blocking=True)
        height, width = images.shape[1:3]
        embedding, maps = self._look(_as_float(images))
        similarities = self._compare(maps, self._reference.vectors)
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
    def _set_reference(self, reference: Reference) -> None:
        """Compute the targets' features and scale weights from the reference's views."""
        seen = [self._look(self._upload(view)) for view in reference.views]
        view_maps = [maps for _, maps in seen]
        self._reference = reference_features(reference, view_maps, self.config.reference_grid)
        height, width = _reduced(reference.views[0].image.shape[:2])
        masks = view_masks(reference, height, width, self.device)
        generator = torch.Generator().manual_seed(0)
        logits = []
        for _ in range(REFERENCE_VARIANTS):
            for view, (embedding, maps) in enumerate(seen):
                logits.append(self._first_logits(embedding, maps, view, generator, height, width))
        with single_thread():
            self._weights = learn_scale_weights(
                torch.stack(logits),
                masks.repeat(REFERENCE_VARIANTS, 1, 1, 1),
                self._reference.present.t().repeat(REFERENCE_VARIANTS, 1),
                self.config.scale_steps,
            )

    def _first_logits(
        self, embedding: Embedding, maps: list[Tensor], view: int, generator, height, width
    ) -> Tensor:
        """The first decode of one view, its features a little noisy: float [T, 3, H, W]."""
        noisy = [_disturbed(v[:, view : view + 1], generator) for v in self._reference.vectors]
        similarities = self._compare(maps, noisy)
        first = torch.zeros(1, len(self.target_names), dtype=torch.long, device=self.device)
        points, labels = _first_points(likeness(similarities, first, height, width))
        logits, _ = self._segmenter.decode(embedding, Prompts(points, labels))
        flat = self._segmenter.to_image(logits.flatten(1, 2), height, width)
        return flat.unflatten(1, logits.shape[1:3])[0]

    def _upload(self, view: View) -> Tensor:
        return _as_float(torch.from_numpy(view.image).to(self.device)[None])

    def _look(self, images: Tensor) -> tuple[Embedding, list[Tensor]]:
        """Encode float images [B, 3, H, W]: the embedding, and the maps to compare cells in."""
        embedding = self._segmenter.encode(images)
        maps = [embedding.correspondence]
        if self._features is not None:
            maps.append(self._features(images))
        return embedding, maps

    def _compare(self, maps: list[Tensor], vectors: Sequence[Tensor]) -> list[Tensor]:
        """Similarity of every cell to every vector: for each map, float [B, T, K, V, h, w]."""
        return [similarity(m, v) for m, v in zip(maps, vectors, strict=True)]

    def _result(self, images, masks, score, points, labels) -> MaskBatch:
        lost = (score < self.config.lost_score) | ~masks.flatten(2).any(2)
        status = torch.where(score < self.config.min_score, LOW_CONFIDENCE, FOUND)
        status = status.masked_fill(lost, LOST).to(torch.int8)
        masks = masks & ~lost[..., None, None]
        union = masks.any(1)
        return MaskBatch(images * union[..., None], union, masks, score, status, points, labels)


def _as_float(images: Tensor) -> Tensor:
    """uint8 [B, H, W, 3] to float [B, 3, H, W] in [0, 1]."""
    return images.permute(0, 3, 1, 2).float() / 255


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
