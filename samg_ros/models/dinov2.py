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
    from transformers import Dinov2Backbone, Dinov2Config


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


def dinov2_config(vit: Vit, layer: int | None = None) -> Dinov2Config:
    """transformers' configuration of this size.

    :param layer: cut off above this hidden state (1-based) and give it as the feature map; None
        takes the whole model. The final layer norm is applied only to the last layer, as the model
        itself does.
    """
    from transformers import Dinov2Config

    last = layer or vit.layers
    config = Dinov2Config(
        hidden_size=vit.width,
        num_attention_heads=vit.heads,
        num_hidden_layers=last,
        image_size=SIZES.native,
        patch_size=PATCH,
        apply_layernorm=last == vit.layers,
    )
    config.out_indices = [last]
    return config


class Dinov2Features:
    """Patch tokens of one DINOv2 layer as a map.

    :param backbone: gives that layer as its only feature map, float [B, C, h, w].
    :raises ConfigError: ``input_size`` is not a multiple of the 14 px patch.
    """

    def __init__(
        self, backbone: Dinov2Backbone, input_size: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.input_size = SIZES.choose("DINOv2", input_size)
        self.device = device
        self._dtype = dtype
        self.network = backbone.eval().requires_grad_(False).to(device, dtype)
        self._mean = torch.tensor(IMAGE_MEAN, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(IMAGE_STD, device=device).view(1, 3, 1, 1)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """See :meth:`FeatureExtractor.__call__`; h = w = input_size / 14."""
        size = (self.input_size, self.input_size)
        square = F.interpolate(images, size=size, mode="bilinear", antialias=True)
        pixels = ((square - self._mean) / self._std).to(self._dtype)
        return self.network(pixels).feature_maps[0].float()


def _extractor(
    vit: Vit,
    path: Path | None,
    input_size: int,
    device: torch.device,
    dtype: torch.dtype,
    layer: int | None,
) -> Dinov2Features:
    """Build and load one of the family, up to ``layer``.

    :raises ConfigError: it has no such layer.
    """
    from transformers import Dinov2Backbone

    layer = vit.layers if layer is None else layer
    if layer not in range(1, vit.layers + 1):
        raise ConfigError(
            f"DINOv2 layer {layer!r}: this model has layers 1 to {vit.layers}; the record of "
            "the weights calls it feature_layer"
        )
    size = SIZES.choose(f"DINOv2 {vit.name}", input_size)
    above = "|".join(str(n) for n in range(layer, vit.layers))
    network = build(
        lambda: Dinov2Backbone(dinov2_config(vit, layer)),
        path,
        device,
        leave_out=(rf"^encoder\.layer\.({above})\.",) if above else (),
    )
    return Dinov2Features(network, size, device, dtype)


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
