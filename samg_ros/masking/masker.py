"""SAM-G's step: frames in, masked frames out, as one batch on one device.

Source: SAM-G (arXiv 2312.17116); the refinement is PerSAM's cascade (arXiv 2305.03048).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from samg_ros.masking.config import MaskerConfig
from samg_ros.masking.correspondence import similarity, target_features
from samg_ros.masking.geometry import boxes_of, inside, peak
from samg_ros.masking.reference import Reference
from samg_ros.masking.scale_weights import learn_scale_weights
from samg_ros.models.base import Embedding, FeatureExtractor, Prompts, Segmenter

LOST, LOW_CONFIDENCE, FOUND = 0, 1, 2
STATUS_NAMES = ("lost", "low_confidence", "found")

# Decodes of the reference with slightly noisy part features, among which the scale weights learn.
REFERENCE_VARIANTS = 4
REFERENCE_NOISE = 0.02


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
        self.target_names = tuple(target.name for target in reference.targets)
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
        likeness = _mean_similarity(maps, self._vectors, height, width)
        points, labels = self._first_points(likeness)
        logits, scores = self._segmenter.decode(embedding, Prompts(points, labels))
        best = (logits * self._weights[None, ..., None, None]).sum(2)
        score = (scores * self._weights).sum(2)
        for _ in range(self.config.refine_steps):
            boxes = boxes_of(self._segmenter.to_image(best, height, width) > 0)
            points, labels = _add_negative(points, labels, likeness[:, :, 0], boxes)
            prompts = Prompts(points, labels, boxes, best)
            best, score = _take_best(*self._segmenter.decode(embedding, prompts))
        masks = self._segmenter.to_image(best, height, width) > 0
        return self._result(images, masks, score, points, labels)

    def _set_reference(self, reference: Reference) -> None:
        """Compute the targets' features and scale weights from the reference picture."""
        image = torch.from_numpy(reference.image).to(self.device)[None]
        stacked = torch.stack([torch.from_numpy(t.mask) for t in reference.targets])
        masks = stacked.float().to(self.device)
        points = _padded_points(reference).to(self.device)
        with torch.inference_mode():
            embedding, maps = self._look(_as_float(image))
            grid = self.config.reference_grid
            self._vectors = [target_features(m, masks, points, grid) for m in maps]
            self._weights = torch.full((len(masks), 3), 1 / 3, device=self.device)
            logits = self._reference_logits(embedding, maps, masks.shape[-2:])
        self._weights = learn_scale_weights(logits, masks, self.config.scale_steps)

    def _reference_logits(self, embedding: Embedding, maps: list[Tensor], size) -> Tensor:
        """Image-size logits [K, T, 3, H, W] of the first decode, its features a little noisy."""
        generator = torch.Generator().manual_seed(0)
        variants = []
        for _ in range(REFERENCE_VARIANTS):
            noisy = [v + _noise_like(v, generator) for v in self._vectors]
            points, labels = self._first_points(_mean_similarity(maps, noisy, *size))
            logits, _ = self._segmenter.decode(embedding, Prompts(points, labels))
            flat = self._segmenter.to_image(logits.flatten(1, 2), *size)
            variants.append(flat.unflatten(1, logits.shape[1:3])[0])
        return torch.stack(variants)

    def _look(self, images: Tensor) -> tuple[Embedding, list[Tensor]]:
        """Encode float images [B, 3, H, W]: the embedding, and the maps to compare cells in."""
        embedding = self._segmenter.encode(images)
        maps = [embedding.correspondence]
        if self._features is not None:
            maps.append(self._features(images))
        return embedding, maps

    def _first_points(self, likeness: Tensor) -> tuple[Tensor, Tensor]:
        """Most and least alike pixel of each target, then the most alike of each part."""
        positives, _ = peak(likeness)
        negative, _ = peak(likeness[:, :, :1], lowest=True)
        points = torch.cat([positives[:, :, :1], negative, positives[:, :, 1:]], 2)
        labels = torch.ones(points.shape[:3], dtype=torch.int, device=points.device)
        labels[:, :, 1] = 0
        return points, labels

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


def _mean_similarity(maps: list[Tensor], vectors: list[Tensor], height: int, width: int) -> Tensor:
    """Similarity averaged over the feature maps, float [B, T, V, H, W]."""
    each = [similarity(m, v, height, width) for m, v in zip(maps, vectors, strict=True)]
    return torch.stack(each).mean(0)


def _add_negative(points, labels, likeness: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Append each box's least alike pixel as a negative point."""
    outside = ~inside(boxes, *likeness.shape[-2:])
    negative, _ = peak(likeness.masked_fill(outside, torch.inf), lowest=True)
    points = torch.cat([points, negative[:, :, None]], 2)
    return points, torch.cat([labels, torch.zeros_like(labels[:, :, :1])], 2)


def _take_best(logits: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """The mask of best predicted IoU: [B, T, M, M] of [B, T, 3, M, M], and its score [B, T]."""
    score, index = scores.max(2)
    at = index[..., None, None, None].expand(-1, -1, 1, *logits.shape[-2:])
    return logits.gather(2, at)[:, :, 0], score


def _padded_points(reference: Reference) -> Tensor:
    """Part points of all targets as float [T, P, 2], relative to the image.

    Targets may have different numbers of points; a shorter list repeats its last one (or the
    middle of the mask), which asks the decoder for the same point twice and changes no other.
    """
    height, width = reference.image.shape[:2]
    longest = max(len(target.points) for target in reference.targets)
    rows = []
    for target in reference.targets:
        points = torch.from_numpy(target.points).float()
        if not len(points) and longest:
            ys, xs = target.mask.nonzero()
            middle = len(xs) // 2
            points = torch.tensor([[float(xs[middle]), float(ys[middle])]])
        missing = longest - len(points)
        rows.append(torch.cat([points, points[-1:].expand(missing, -1)]) if missing else points)
    stacked = torch.stack(rows)
    return (stacked + 0.5) / torch.tensor([width, height])


def _noise_like(vectors: Tensor, generator: torch.Generator) -> Tensor:
    noise = torch.randn(vectors.shape, generator=generator) * REFERENCE_NOISE
    noise[:, 0] = 0  # only the parts' features are disturbed, as in the paper's code
    return noise.to(vectors.device)
