"""Protocols of what computes features and masks. Batch first; tensors stay on their device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from samg_ros.errors import ConfigError
from samg_ros.registry import Registry


@dataclass(frozen=True)
class Embedding:
    """What a segmenter knows of B images.

    ``features``: [B, C, h, w], what the decoder attends to, in its number type.
    ``correspondence``: float32 [B, C, h, w], for comparing cells between images; it spans the
    image, whatever its shape.
    ``high_res``: decoder skip maps, [B, ...]. ``extent``: the part of the model's square input
    that the image takes up from the left upper corner, (width, height) in (0, 1]; the rest is
    padding, which ``features`` cover too.
    """

    features: Tensor
    correspondence: Tensor
    high_res: tuple[Tensor, ...] = ()
    extent: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True)
class Prompts:
    """Prompts for T targets on each of B images, in coordinates relative to the image.

    ``points``: float [B, T, N, 2], (x, y) in [0, 1] from the image's left upper corner to its
    right lower one (the middle of pixel i is (i + 0.5) / width). ``labels``: int [B, T, N], 1 on
    the target, 0 off it. ``boxes``: float [B, T, 4], (x0, y0, x1, y1), or None. ``masks``: float
    [B, T, M, M], the low-resolution logits of an earlier decode, or None.
    """

    points: Tensor
    labels: Tensor
    boxes: Tensor | None = None
    masks: Tensor | None = None


class Segmenter(Protocol):
    """A promptable segmenter (the SAM family).

    ``input_size``: side of its square input, px. ``mask_size``: side M of its low-resolution
    logits. ``network``: the module that holds its weights.
    """

    input_size: int
    mask_size: int
    device: torch.device
    network: torch.nn.Module

    def encode(self, images: Tensor) -> Embedding:
        """:param images: float [B, 3, H, W] in [0, 1], any H and W."""
        ...

    def decode(self, embedding: Embedding, prompts: Prompts) -> tuple[Tensor, Tensor]:
        """:return: logits, float [B, T, 3, M, M], and predicted IoU, float [B, T, 3]."""
        ...

    def to_image(self, logits: Tensor, height: int, width: int) -> Tensor:
        """Low-resolution logits, float [B, T, M, M], to image size, float [B, T, H, W]."""
        ...


class FeatureExtractor(Protocol):
    """Dense features for correspondence; attributes as a :class:`Segmenter`'s."""

    input_size: int
    device: torch.device
    network: torch.nn.Module

    def __call__(self, images: Tensor) -> Tensor:
        """:param images: float [B, 3, H, W] in [0, 1].
        :return: float [B, C, h, w]."""
        ...


def choose_device(name: str) -> torch.device:
    """``auto`` takes CUDA where there is one; a named device that is missing is an error.

    :raises ConfigError: no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(f"device {name!r} cannot be used here: {error}") from error
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """``auto`` takes bf16 where the hardware computes in it, else fp32.

    :raises ConfigError: unknown, or one in which the device is unusably slow.
    """
    if name == "auto":
        return torch.bfloat16 if _has_bf16(device) else torch.float32
    dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    if name not in dtypes:
        raise ConfigError(f"precision {name!r}; choose one of: auto, {', '.join(dtypes)}")
    if name == "fp16" and device.type == "cpu":
        # Some convolutions have no fast kernel there: an image takes minutes.
        raise ConfigError(
            "precision 'fp16' is unusably slow on a CPU; choose bf16 or fp32, or a CUDA device"
        )
    return dtypes[name]


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    # AVX-512 BF16 or AMX: without them bf16 on a CPU is emulated and slower than fp32.
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return bool(supported())


models: Registry = Registry(
    "model",
    (
        "samg_ros.models.sam2",
        "samg_ros.models.sam_vit",
        "samg_ros.models.sam_vit",
        "samg_ros.models.efficientvit_sam",
        "samg_ros.models.dinov2",
    ),
)
