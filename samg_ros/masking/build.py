"""Put maskers together from their configuration: device, weights, models, references."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import torch

from samg_ros.masking.config import MaskerConfig
from samg_ros.masking.encoders import Encoders
from samg_ros.masking.masker import ManyMasker, SamgMasker, make_finder
from samg_ros.masking.reference import Reference, find_reference
from samg_ros.models.base import choose_device, choose_dtype, models
from samg_ros.weights.catalogue import check_role
from samg_ros.weights.resolve import resolve

log = logging.getLogger("samg_ros")


def build_masker(reference: Reference, config: MaskerConfig) -> SamgMasker:
    """Load the models (fetching weights where needed) and set the reference.

    :raises SamgError: unknown model, missing device, weights or a bad option.
    """
    encoders = build_encoders(config)
    return SamgMasker(encoders.segmenter, encoders.features, reference, config)


def build_many(references: Mapping[str, Reference], config: MaskerConfig) -> ManyMasker:
    """Load the models once and set every camera's reference.

    :param references: by camera; cameras with the very same object share what is computed of it.
    :raises SamgError: as :func:`build_masker`.
    """
    encoders = build_encoders(config)
    distinct = {id(reference): reference for reference in references.values()}
    finders = {key: make_finder(encoders, r, config) for key, r in distinct.items()}
    return ManyMasker(encoders, {camera: finders[id(r)] for camera, r in references.items()})


def load_references(names: Mapping[str, str]) -> dict[str, Reference]:
    """By camera, what the ``reference`` parameters mean; each file is read once.

    :raises InvalidReferenceError: one is not there or not valid.
    """
    paths = {camera: find_reference(name).resolve() for camera, name in names.items()}
    loaded = {path: Reference.load(path) for path in dict.fromkeys(paths.values())}
    return {camera: loaded[path] for camera, path in paths.items()}


def build_encoders(config: MaskerConfig) -> Encoders:
    """Load the models, fetching weights where needed.

    :raises SamgError: unknown model, missing device, weights or a bad option.
    """
    device = choose_device(config.device)
    dtype = choose_dtype(config.precision, device)
    if config.threads:
        torch.set_num_threads(config.threads)
    segmenter = _load(
        "segmenter",
        config.segmenter,
        config.segmenter_weights,
        config.input_size,
        device,
        dtype,
    )
    features = None
    if config.features != "none":
        features = _load(
            "features",
            config.features,
            config.features_weights,
            config.feature_size,
            device,
            dtype,
        )
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
