"""DINOv2 (arXiv 2304.07193) as a :class:`~samg_ros.models.base.FeatureExtractor`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
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

    width: int
    heads: int
    layers: int


SMALL, BASE, LARGE = Vit(384, 6, 12), Vit(768, 12, 12), Vit(1024, 16, 24)
FAMILY = {"dinov2_small": SMALL, "dinov2_base": BASE, "dinov2_large": LARGE}


def find(width: int) -> Vit | None:
    """The size with that width, by which a checkpoint can be recognised."""
    return next((vit for vit in FAMILY.values() if vit.width == width), None)


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
    :param input_size: a multiple of the 14 px patch.
    """

    def __init__(
        self, backbone: Dinov2Backbone, input_size: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.input_size = input_size
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
    name: str,
    path: Path | None,
    input_size: int,
    device: torch.device,
    dtype: torch.dtype,
    layer: int | None = None,
) -> Dinov2Features:
    """Build one of the family and load it; random weights where ``path`` is None.

    :param layer: which hidden state fits the copy of the weights; None takes the last.
    :raises ConfigError: it has no such layer, or ``input_size`` is no multiple of the 14 px patch.
    """
    from transformers import Dinov2Backbone

    vit = FAMILY[name]
    layer = vit.layers if layer is None else layer
    if layer not in range(1, vit.layers + 1):
        raise ConfigError(
            f"{name} layer {layer!r}: this model has layers 1 to {vit.layers}; the record of "
            "the weights calls it feature_layer"
        )
    size = SIZES.choose(name, input_size)
    above = "|".join(str(n) for n in range(layer, vit.layers))
    network = build(
        lambda: Dinov2Backbone(dinov2_config(vit, layer)),
        path,
        device,
        leave_out=(rf"^encoder\.layer\.({above})\.",) if above else (),
    )
    return Dinov2Features(network, size, device, dtype)


for _name in FAMILY:
    models.register(_name)(partial(_extractor, _name))
