"""The image encoders that all references share: SAM's, and a second feature model."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from samg_ros.errors import ImageError
from samg_ros.models.base import Embedding, FeatureExtractor, Segmenter


@dataclass(frozen=True)
class Seen:
    """B encoded images.

    ``embedding``: what the decoder needs. ``maps``: what is compared with the reference, float
    [B, C, h, w] each: the segmenter's features and, if there is one, the second model's.
    """

    embedding: Embedding
    maps: tuple[Tensor, ...]


class Encoders:
    """Looks at images once, for whatever is then sought in them.

    :param features: the second feature map (DINOv2); None uses the segmenter's own alone.
    """

    def __init__(self, segmenter: Segmenter, features: FeatureExtractor | None) -> None:
        self.segmenter = segmenter
        self.features = features
        self.device = segmenter.device

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Seen:
        """:param images: uint8 [B, H, W, 3] RGB, on any device.
        :raises ImageError: of another type or shape, or without a pixel."""
        check_frames(images)
        # However frames lie in memory: another order of summing would end in other last digits.
        images = images.to(self.device, non_blocking=True).contiguous()
        pixels = images.permute(0, 3, 1, 2).float() / 255
        embedding = self.segmenter.encode(pixels)
        second = () if self.features is None else (self.features(pixels),)
        return Seen(embedding, (embedding.correspondence, *second))


def check_frames(images: Tensor) -> None:
    """Refuse what is not RGB of 8 bits: other numbers have no agreed range, and may be NaN.

    :raises ImageError: not uint8 [B, H, W, 3] of at least one pixel.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[3] != 3:
        is_type = str(images.dtype).removeprefix("torch.")
        raise ImageError(
            f"frames are {is_type} {list(images.shape)}; give RGB, uint8 [batch, height, width, 3]"
        )
    if not images.numel():
        raise ImageError(f"frames are {list(images.shape)}: they have no pixels")
