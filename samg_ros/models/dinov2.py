"""DINOv2 (arXiv 2304.07193) as a :class:`~samg_ros.models.base.FeatureExtractor`."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor
from transformers import Dinov2Config, Dinov2Model

from samg_ros.errors import ConfigError, WeightsError
from samg_ros.models.registry import models

IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)
PATCH = 14


class Dinov2Features:
    """Patch tokens of one DINOv2 layer as a map.

    :param layer: the hidden state to take, 1-based; layers above it are dropped. The final layer
        norm is applied only to the last layer, as the model itself does.
    :raises ConfigError: ``input_size`` is not a multiple of the 14 px patch.
    """

    def __init__(
        self, model: Dinov2Model, layer: int, input_size: int, device: torch.device, dtype
    ) -> None:
        if input_size % PATCH:
            raise ConfigError(f"DINOv2 input_size {input_size}: take a multiple of {PATCH}")
        self.device = device
        self._size = input_size
        self._dtype = dtype
        self._normed = layer == len(model.encoder.layer)
        model.encoder.layer = model.encoder.layer[:layer]
        self._model = model.eval().requires_grad_(False).to(device, dtype)
        self._mean = torch.tensor(IMAGE_MEAN, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(IMAGE_STD, device=device).view(1, 3, 1, 1)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """See :meth:`FeatureExtractor.__call__`; h = w = input_size / 14."""
        size = (self._size, self._size)
        square = F.interpolate(images, size=size, mode="bilinear", antialias=True)
        pixels = ((square - self._mean) / self._std).to(self._dtype)
        tokens = self._model.embeddings(pixels)
        for block in self._model.encoder.layer:
            out = block(tokens)
            tokens = out[0] if isinstance(out, tuple) else out
        if self._normed:
            tokens = self._model.layernorm(tokens)
        cells = self._size // PATCH
        return tokens[:, 1:].float().transpose(1, 2).unflatten(2, (cells, cells))


@models.register("dinov2_small")
def dinov2_small(
    path: Path | None, input_size: int, device: torch.device, dtype, layer: int | None = None
) -> Dinov2Features:
    """DINOv2 ViT-S/14; random weights where ``path`` is None (tests).

    :param layer: which hidden state fits the copy of the weights; None takes the last.
    """
    config = Dinov2Config(
        hidden_size=384, num_attention_heads=6, num_hidden_layers=12, image_size=518, patch_size=14
    )
    model = Dinov2Model(config)
    if path is not None:
        state = {key: value.float() for key, value in load_file(path).items()}
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            raise WeightsError(f"{path} is not DINOv2 ViT-S/14: {error}") from error
    return Dinov2Features(model, layer or config.num_hidden_layers, input_size, device, dtype)
