"""DINOv2 (arXiv 2304.07193) as a :class:`~samg_ros.models.base.FeatureExtractor`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from samg_ros.errors import ConfigError
from samg_ros.models.base import models
from samg_ros.models.loading import Sizes, build

if TYPE_CHECKING:
    from transformers import Dinov2Config, Dinov2Model


IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)
PATCH = 14
SIZES = Sizes(native=518, step=PATCH, smallest=4 * PATCH)


@dataclass(frozen=True)
class Vit:
    """A size of the vision transformer: channels, attention heads, layers."""

    name: str
    width: int
    heads: int
    layers: int


SMALL = Vit("ViT-S/14", 384, 6, 12)
BASE = Vit("ViT-B/14", 768, 12, 12)
LARGE = Vit("ViT-L/14", 1024, 16, 24)


def find(width: int) -> Vit | None:
    """The size with that width, by which a checkpoint can be told."""
    return next((vit for vit in (SMALL, BASE, LARGE) if vit.width == width), None)


def dinov2_config(vit: Vit) -> Dinov2Config:
    """transformers' configuration of this size."""
    from transformers import Dinov2Config

    return Dinov2Config(
        hidden_size=vit.width,
        num_attention_heads=vit.heads,
        num_hidden_layers=vit.layers,
        image_size=SIZES.native,
        patch_size=PATCH,
    )


class Dinov2Features:
    """Patch tokens of one DINOv2 layer as a map.

    :param layer: the hidden state to take, 1-based; layers above it are dropped. The final layer
        norm is applied only to the last layer, as the model itself does.
    :raises ConfigError: ``input_size`` is not a multiple of the 14 px patch, or there is no such
        layer.
    """

    def __init__(
        self,
        model: Dinov2Model,
        layer: int,
        input_size: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.input_size = SIZES.choose("DINOv2", input_size)
        self.device = device
        self._dtype = dtype
        depth = len(model.encoder.layer)
        if layer not in range(1, depth + 1):
            raise ConfigError(
                f"DINOv2 layer {layer!r}: this model has layers 1 to {depth}; a record beside the "
                "weights calls it feature_layer"
            )
        self._normed = layer == depth
        model.encoder.layer = model.encoder.layer[:layer]
        self.network = model.eval().requires_grad_(False).to(device, dtype)
        self._mean = torch.tensor(IMAGE_MEAN, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(IMAGE_STD, device=device).view(1, 3, 1, 1)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """See :meth:`FeatureExtractor.__call__`; h = w = input_size / 14."""
        size = (self.input_size, self.input_size)
        square = F.interpolate(images, size=size, mode="bilinear", antialias=True)
        pixels = ((square - self._mean) / self._std).to(self._dtype)
        tokens = self.network.embeddings(pixels)
        for block in self.network.encoder.layer:
            out = block(tokens)
            tokens = out[0] if isinstance(out, tuple) else out
        if self._normed:
            tokens = self.network.layernorm(tokens)
        cells = self.input_size // PATCH
        return tokens[:, 1:].float().transpose(1, 2).unflatten(2, (cells, cells))


def _extractor(
    vit: Vit,
    path: Path | None,
    input_size: int,
    device: torch.device,
    dtype: torch.dtype,
    layer: int | None,
) -> Dinov2Features:
    """Build and load one of the family."""
    from transformers import Dinov2Model

    size = SIZES.choose(f"DINOv2 {vit.name}", input_size)
    network = build(lambda: Dinov2Model(dinov2_config(vit)), path, device)
    return Dinov2Features(network, vit.layers if layer is None else layer, size, device, dtype)


@models.register("dinov2_small")
def small(
    path: Path | None,
    input_size: int,
    device: torch.device,
    dtype: torch.dtype,
    layer: int | None = None,
) -> Dinov2Features:
    """DINOv2 ViT-S/14; random weights where ``path`` is None.

    :param layer: which hidden state fits the copy of the weights; None takes the last.
    """
    return _extractor(SMALL, path, input_size, device, dtype, layer)


@models.register("dinov2_base")
def base(
    path: Path | None,
    input_size: int,
    device: torch.device,
    dtype: torch.dtype,
    layer: int | None = None,
) -> Dinov2Features:
    """DINOv2 ViT-B/14 (the paper's); otherwise as :func:`small`."""
    return _extractor(BASE, path, input_size, device, dtype, layer)


@models.register("dinov2_large")
def large(
    path: Path | None,
    input_size: int,
    device: torch.device,
    dtype: torch.dtype,
    layer: int | None = None,
) -> Dinov2Features:
    """DINOv2 ViT-L/14; otherwise as :func:`small`."""
    return _extractor(LARGE, path, input_size, device, dtype, layer)
