"""SAM-G's step on encoded frames: from similarity to point prompts, and SAM's refined masks.

Source: SAM-G (arXiv 2312.17116); the refinement is PerSAM's cascade (arXiv 2305.03048).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from samg_ros.machine import single_thread
from samg_ros.masking import choice
from samg_ros.masking.choice import Chosen, learn_scale_weights
from samg_ros.masking.config import MaskerConfig
from samg_ros.masking.correspondence import (
    best_views,
    likeness,
    reference_features,
    similarity,
    view_masks,
)
from samg_ros.masking.encoders import Encoded, Encoders
from samg_ros.masking.foreground import Foreground, ForegroundBank, own_cells
from samg_ros.masking.prompts import first_points, refined
from samg_ros.masking.reference import Reference, View
from samg_ros.masking.result import FOUND, LOST, LOW_CONFIDENCE, MaskResult
from samg_ros.models.base import Prompts
from samg_ros.models.loading import scaled_size

# Decodes of the reference with slightly noisy part features, among which the scale weights learn.
REFERENCE_VARIANTS = 2
REFERENCE_NOISE = 0.02
LEARNING_SIDE = 128


class TargetFinder:
    """Finds one reference's targets in frames that :class:`Encoders` have encoded."""

    def __init__(self, encoders: Encoders, reference: Reference, config: MaskerConfig) -> None:
        self.config = config
        self.target_names = reference.names
        self.device = encoders.device
        self._segmenter = encoders.segmenter
        self._set_reference(encoders, reference)

    @torch.inference_mode()
    def __call__(self, images: Tensor, encoded: Encoded) -> MaskResult:
        """:param images: the frames that were encoded, uint8 [B, H, W, 3], on the device."""
        height, width = images.shape[1:3]
        foreground = self._bank(encoded.maps)
        alike = self._alike(encoded, height, width)
        prompts = Prompts(*first_points(alike, self.config.negatives))
        found = self._decode(encoded, prompts, foreground, (height, width), first=True)
        for _ in range(self.config.refine_steps):
            masks = self._segmenter.to_image(found.logits, height, width) > 0
            clicks = foreground if self.config.clicks else None
            prompts = refined(
                replace(prompts, masks=found.logits),
                masks,
                alike[:, :, 0],
                self.config.negatives,
                clicks,
            )
            found = self._decode(encoded, prompts, foreground, (height, width))
        masks = self._segmenter.to_image(found.logits, height, width) > 0
        return self._result(images, masks, found, prompts, foreground)

    def _alike(self, encoded: Encoded, height: int, width: int) -> Tensor:
        """Likeness to the best view's whole and parts, float [B, T, V, height, width]."""
        similarities = self._compare(encoded.maps, self._reference.vectors)
        views = best_views(similarities, self._reference.present)
        return likeness(similarities, views, height, width)

    def _decode(
        self,
        encoded: Encoded,
        prompts: Prompts,
        foreground: Foreground,
        frame: tuple[int, int],
        *,
        first: bool = False,
    ) -> Chosen:
        """Decode and choose one of the three masks."""
        logits, scores = self._segmenter.decode(encoded.embedding, prompts)
        if self.config.agreement:
            agreed = choice.agreement(self._segmenter, logits, foreground, frame)
            return choice.best(logits, scores, scores + self.config.agreement * agreed)
        return (
            choice.weighted(logits, scores, self._weights)
            if first
            else choice.best(logits, scores)
        )

    @torch.inference_mode()
    def _set_reference(self, encoders: Encoders, reference: Reference) -> None:
        """Compute what is remembered of the reference's views."""
        encoded = [encoders(torch.from_numpy(view.image)[None]) for view in reference.views]
        view_maps = [one.maps for one in encoded]
        grid = self.config.reference_grid
        self._reference = reference_features(reference, view_maps, grid)
        self._bank = ForegroundBank(reference, view_maps, grid)
        if not self.config.agreement:
            self._weights = self._learn_weights(reference, encoded)

    def _learn_weights(self, reference: Reference, encoded: Sequence[Encoded]) -> Tensor:
        """The weights of the three mask scales, float [T, 3]."""
        height, width = size = _reduced(reference.views[0])
        masks = view_masks(reference, height, width, self.device)
        generator = torch.Generator().manual_seed(0)
        logits = []
        for _ in range(REFERENCE_VARIANTS):
            for view, one in enumerate(encoded):
                own = _reduced(reference.views[view])
                found = self._first_logits(one, view, generator, own)
                logits.append(found if own == size else F.interpolate(found, size))
        with single_thread():
            return learn_scale_weights(
                torch.stack(logits),
                masks.repeat(REFERENCE_VARIANTS, 1, 1, 1),
                self._reference.present.t().repeat(REFERENCE_VARIANTS, 1),
                self.config.scale_steps,
            )

    def _first_logits(
        self, encoded: Encoded, view: int, generator: torch.Generator, size: tuple[int, int]
    ) -> Tensor:
        """The first decode of one view, its features a little noisy: float [T, 3, *size]."""
        noisy = [_disturbed(v[:, view : view + 1], generator) for v in self._reference.vectors]
        first = torch.zeros(1, len(self.target_names), dtype=torch.long, device=self.device)
        alike = likeness(self._compare(encoded.maps, noisy), first, *size)
        prompts = Prompts(*first_points(alike, self.config.negatives))
        logits, _ = self._segmenter.decode(encoded.embedding, prompts)
        flat = self._segmenter.to_image(logits.flatten(1, 2), *size)
        return flat.unflatten(1, logits.shape[1:3])[0]

    def _compare(self, maps: Sequence[Tensor], vectors: Sequence[Tensor]) -> list[Tensor]:
        """Similarity of every cell to every vector: for each map, float [B, T, K, V, h, w]."""
        return [similarity(m, v) for m, v in zip(maps, vectors, strict=True)]

    def _result(
        self,
        images: Tensor,
        masks: Tensor,
        found: Chosen,
        prompts: Prompts,
        foreground: Foreground,
    ) -> MaskResult:
        config, cells = self.config, foreground.cells(masks)
        if config.rivals:
            cells = own_cells(foreground, cells)
        alike, nothing = foreground.inside(cells), ~cells.flatten(2).any(2)
        lost = (found.score < config.lost_score) | (alike < config.lost_likeness) | nothing
        doubtful = (found.score < config.min_score) | (alike < config.min_likeness)
        status = torch.where(doubtful, LOW_CONFIDENCE, FOUND).masked_fill(lost, LOST)
        masks = masks & ~lost[..., None, None]
        return MaskResult(
            names=self.target_names,
            images=images,
            mask=masks.any(1),
            each=masks,
            scores=found.score,
            likeness=alike,
            statuses=status.to(torch.int8),
            points=prompts.points,
            labels=prompts.labels,
        )


def _reduced(view: View) -> tuple[int, int]:
    """Height and width at which scale weights are learned: at most ``LEARNING_SIDE``."""
    height, width = view.image.shape[:2]
    return scaled_size(height, width, min(LEARNING_SIDE, max(height, width)))


def _disturbed(vectors: Tensor, generator: torch.Generator) -> Tensor:
    """Part features with a little noise, as in the paper's code; the whole's stay as they are."""
    noise = torch.randn(vectors.shape, generator=generator) * REFERENCE_NOISE
    noise[..., 0, :] = 0
    return vectors + noise.to(vectors.device)
