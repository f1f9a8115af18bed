"""The image encoders that all references share: SAM's, and a second feature model."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from samg_ros.masking.config import MaskerConfig
from samg_ros.models.base import (
    Embedding,
    FeatureExtractor,
    Segmenter,
    choose_device,
    choose_dtype,
    models,
)
from samg_ros.weights.catalogue import check_role
from samg_ros.weights.resolve import resolve

log = logging.getLogger("samg_ros")


@dataclass(frozen=True)
class Encoded:
    """B encoded images.

    ``embedding``: what the decoder needs. ``maps``: what is compared with the reference, float
    [B, C, h, w] each: the segmenter's features and, if there is one, the second model's.
    """

    embedding: Embedding
    maps: tuple[Tensor, ...]

    def __getitem__(self, part: slice) -> Encoded:
        """Some neighbours of the batch."""
        embedding = replace(
            self.embedding,
            features=self.embedding.features[part],
            correspondence=self.embedding.correspondence[part],
            high_res=tuple(level[part] for level in self.embedding.high_res),
        )
        return Encoded(embedding, tuple(feature_map[part] for feature_map in self.maps))


class Encoders:
    """Encode images once, for whatever is then sought in them.

    :param features: the second feature map (DINOv2); None uses the segmenter's own alone.
    """

    def __init__(self, segmenter: Segmenter, features: FeatureExtractor | None) -> None:
        self.segmenter = segmenter
        self.features = features
        self.device = segmenter.device

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Encoded:
        """:param images: uint8 [B, H, W, 3] RGB, on any device; not checked again here."""
        # However frames lie in memory: another order of summing would end in other last digits.
        images = images.to(self.device, non_blocking=True).contiguous()
        pixels = images.permute(0, 3, 1, 2).float() / 255
        embedding = self.segmenter.encode(pixels)
        second = () if self.features is None else (self.features(pixels),)
        return Encoded(embedding, (embedding.correspondence, *second))


def load_encoders(config: MaskerConfig) -> Encoders:
    """Load the models, fetching weights where needed.

    :raises SamgError: unknown model, missing device, weights or a bad option.
    """
    device = choose_device(config.device)
    dtype = choose_dtype(config.precision, device)
    if config.threads:
        torch.set_num_threads(config.threads)
    given = config.segmenter, config.segmenter_weights, config.input_size
    segmenter = _load("segmenter", *given, device, dtype)
    features = None
    if config.features != "none":
        given = config.features, config.features_weights, config.feature_size
        features = _load("features", *given, device, dtype)
    log.info("masker on %s, %s", device, str(dtype).removeprefix("torch."))
    return Encoders(segmenter, features)


def _load(
    role: str, name: str, weights: str, input_size: int, device: torch.device, dtype: torch.dtype
):
    factory = models.get(name)
    check_role(name, role)
    found = resolve(name, weights or None, log=log.info)
    options = {} if found.feature_layer is None else {"layer": found.feature_layer}
    return factory(found.path, input_size, device, dtype, **options)
