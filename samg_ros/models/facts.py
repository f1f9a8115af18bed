"""What each registered model is and needs, computed from the model itself without its weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from samg_ros.models import cache, checkpoints
from samg_ros.models.registry import models

MEGA = 1_000_000
META = torch.device("meta")


@dataclass(frozen=True)
class ModelFacts:
    """One line of the table of models.

    :param kind: ``segmenter`` or ``features``.
    :param parameters: how many numbers its network holds.
    :param fp32_mb: memory of its weights in MB (1e6 bytes).
    :param bf16_mb: the same in bf16 or fp16; a segmenter's decoder stays in fp32.
    :param input_size: side of its own square input, px.
    :param grid: cells a side of the map in which images are compared, at that input.
    :param sources: where its weights come from, in order.
    :param state: what the cache holds: ``whole``, ``absent``, ``unrecorded`` or ``damaged``.
    """

    name: str
    kind: str
    parameters: int
    fp32_mb: float
    bf16_mb: float
    input_size: int
    grid: int
    licence: str
    sources: tuple[str, ...]
    state: str


def describe(name: str) -> ModelFacts:
    """Build the model on the meta device, where tensors have shapes and no numbers, and look.

    :raises ConfigError: unknown name, or a package it needs is not installed.
    """
    model = models.get(name)(None, 0, META, torch.bfloat16)
    checkpoint = checkpoints.get(name)
    parameters = list(model.network.parameters())
    count = sum(p.numel() for p in parameters)
    images = torch.empty(1, 3, model.input_size, model.input_size, device=META)
    segments = checkpoint.role == "segmenter"
    cells = model.encode(images).correspondence if segments else model(images)
    return ModelFacts(
        name=name,
        kind=checkpoint.role,
        parameters=count,
        fp32_mb=count * torch.float32.itemsize / MEGA,
        bf16_mb=sum(p.numel() * p.element_size() for p in parameters) / MEGA,
        input_size=model.input_size,
        grid=cells.shape[-1],
        licence=checkpoint.licence,
        sources=tuple(f"{s.kind}: {s.variant}" for s in checkpoint.sources),
        state=cache.look(checkpoint).state,
    )
