"""What is compared for speed: the masker as configured, and the reference order of work.

Both take frames from the host's memory and give masks and masked frames back to it, so that a
device's transfers count for both.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import torch

from samg_ros.bench.reference_order import FEATURE_SIZE, ReferenceOrder
from samg_ros.errors import WeightsError
from samg_ros.masking.build import build_masker
from samg_ros.masking.config import MaskerConfig
from samg_ros.masking.masker import SamgMasker
from samg_ros.masking.reference import Reference
from samg_ros.models import checkpoints, weights
from samg_ros.models.base import FeatureExtractor, Segmenter, choose_device, choose_dtype
from samg_ros.models.registry import models

log = logging.getLogger("samg_ros")
META = torch.device("meta")
SEED = 0

# From frames, uint8 [B, H, W, 3], to masks, bool [B, H, W].
Run = Callable[[np.ndarray], np.ndarray]


def check(config: MaskerConfig, reference_size: int) -> None:
    """Find out before anything is loaded whether a configuration can be had here at all.

    :param reference_size: side of the segmenter's input in the reference order, px.
    :raises ConfigError: unknown model, number type or device, or a size a model does not take.
    """
    choose_dtype(config.precision, choose_device(config.device))
    for name, role, sizes in (
        (config.segmenter, "segmenter", (config.input_size, reference_size)),
        (config.features, "features", (config.feature_size, FEATURE_SIZE)),
    ):
        if name == "none" and role == "features":
            continue
        factory = models.get(name)
        checkpoints.check_role(name, role)
        for size in sizes:
            # On the meta device a model has shapes and no numbers: nothing is computed.
            factory(None, size, META, torch.float32)


def input_size(config: MaskerConfig) -> int:
    """The side of the segmenter's input in px, also where the configuration leaves it to it."""
    factory = models.get(config.segmenter)
    return int(factory(None, config.input_size, META, torch.float32).input_size)


def missing_weights(config: MaskerConfig) -> str:
    """Why a model's weights cannot be had, or nothing where they can (they are fetched then)."""
    wanted = ((config.segmenter, config.segmenter_weights), (_dino(config), _dino_weights(config)))
    try:
        for name, path in wanted:
            weights.resolve(name, path or None, log=log.info)
    except WeightsError as error:
        return str(error)
    return ""


def masker_run(reference: Reference, config: MaskerConfig, random_weights: bool) -> Run:
    """The masker, in batches."""
    if random_weights:
        if config.threads:
            torch.set_num_threads(config.threads)
        device = choose_device(config.device)
        dtype = choose_dtype(config.precision, device)
        segmenter, dino = _random_models(config, config.input_size, config.feature_size, dtype)
        features = None if config.features == "none" else dino
        masker = SamgMasker(segmenter, features, reference, config)
    else:
        masker = build_masker(reference, config)

    def run(frames: np.ndarray) -> np.ndarray:
        result = masker(torch.from_numpy(frames))
        result.rgb.cpu()
        return result.mask.cpu().numpy()

    return run


def reference_order_run(
    reference: Reference, config: MaskerConfig, random_weights: bool, input_size: int
) -> Run:
    """The reference order with the same weights, in fp32; DINOv2 in any case.

    :param input_size: side of the segmenter's input, px.
    """
    load = _random_models if random_weights else _real_models
    segmenter, features = load(config, input_size, FEATURE_SIZE, torch.float32)
    order = ReferenceOrder(segmenter, features, reference, config.scale_steps)
    return lambda frames: np.stack([order(rgb).mask for rgb in frames])


def _real_models(
    config: MaskerConfig, input_size: int, feature_size: int, dtype: torch.dtype
) -> tuple[Segmenter, FeatureExtractor]:
    device = choose_device(config.device)
    sam = weights.resolve(config.segmenter, config.segmenter_weights or None, log=log.info)
    dino = weights.resolve(_dino(config), _dino_weights(config) or None, log=log.info)
    layer = {} if dino.feature_layer is None else {"layer": dino.feature_layer}
    return (
        models.get(config.segmenter)(sam.path, input_size, device, dtype),
        models.get(_dino(config))(dino.path, feature_size, device, dtype, **layer),
    )


def _random_models(
    config: MaskerConfig, input_size: int, feature_size: int, dtype: torch.dtype
) -> tuple[Segmenter, FeatureExtractor]:
    """The same random numbers every time."""
    device = choose_device(config.device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return (
            models.get(config.segmenter)(None, input_size, device, dtype),
            models.get(_dino(config))(None, feature_size, device, dtype),
        )


def _dino(config: MaskerConfig) -> str:
    """The reference order's second model, also where the masker does without one."""
    return MaskerConfig().features if config.features == "none" else config.features


def _dino_weights(config: MaskerConfig) -> str:
    return "" if config.features == "none" else config.features_weights
