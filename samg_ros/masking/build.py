"""Put a masker together from its configuration: device, weights, models, reference."""

from __future__ import annotations

import logging

import torch

from samg_ros.masking.config import MaskerConfig
from samg_ros.masking.masker import SamgMasker
from samg_ros.masking.reference import Reference
from samg_ros.models.base import choose_device, choose_dtype
from samg_ros.models.registry import models
from samg_ros.models.weights import resolve

log = logging.getLogger("samg_ros")


def build_masker(reference: Reference, config: MaskerConfig) -> SamgMasker:
    """Load the models (fetching weights where needed) and set the reference.

    :raises SamgError: unknown model, missing device, weights or a bad option.
    """
    device = choose_device(config.device)
    dtype = choose_dtype(config.precision, device)
    if config.threads:
        torch.set_num_threads(config.threads)
    segmenter = _load(config.segmenter, config.segmenter_weights, config.input_size, device, dtype)
    features = None
    if config.features != "none":
        features = _load(
            config.features, config.features_weights, config.feature_size, device, dtype
        )
    log.info("masker on %s, %s", device, str(dtype).removeprefix("torch."))
    return SamgMasker(segmenter, features, reference, config)


def _load(name: str, weights: str, input_size: int, device: torch.device, dtype: torch.dtype):
    factory = models.get(name)
    found = resolve(name, weights or None, log=log.info)
    options = {} if found.feature_layer is None else {"layer": found.feature_layer}
    return factory(found.path, input_size, device, dtype, **options)
