"""SAM 2 (arXiv 2408.00714) as a :class:`~samg_ros.models.base.Segmenter`, by transformers."""

from __future__ import annotations

import re
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor
from transformers import Sam2Config, Sam2Model

from samg_ros.errors import ConfigError, WeightsError
from samg_ros.models.base import Embedding, Prompts
from samg_ros.models.registry import models

IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)


class Sam2Segmenter:
    """SAM 2's image encoder, prompt encoder and mask decoder at a chosen square input size.

    The image encoder runs in ``dtype``; prompts and decoder stay in float32, because half a pixel
    of a 512 px input does not fit bf16's 8 bits of mantissa.

    :param model: a loaded model whose configuration fits ``input_size``.
    :raises ConfigError: ``input_size`` is not a multiple of 32.
    """

    def __init__(self, model: Sam2Model, input_size: int, device: torch.device, dtype) -> None:
        self.input_size = input_size
        self.mask_size = input_size // 4
        self.device = device
        self._dtype = dtype
        self._model = model.eval().requires_grad_(False).to(device)
        self._model.vision_encoder.to(dtype)
        self._image_pe = self._model.get_image_wide_positional_embeddings()
        self._mean = torch.tensor(IMAGE_MEAN, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(IMAGE_STD, device=device).view(1, 3, 1, 1)

    @torch.inference_mode()
    def encode(self, images: Tensor) -> Embedding:
        """See :meth:`Segmenter.encode`. The image is squashed to a square, as SAM 2 does."""
        square = _resize(images, self.input_size)
        pixels = ((square - self._mean) / self._std).to(self._dtype)
        maps = [level.float() for level in self._model.vision_encoder(pixels).fpn_hidden_states]
        coarse = maps[2]
        no_memory = self._model.no_memory_embedding.view(1, -1, 1, 1)
        decoder = self._model.mask_decoder
        return Embedding(
            features=coarse + no_memory,
            correspondence=coarse,
            high_res=(decoder.conv_s0(maps[0]), decoder.conv_s1(maps[1])),
        )

    @torch.inference_mode()
    def decode(self, embedding: Embedding, prompts: Prompts) -> tuple[Tensor, Tensor]:
        """See :meth:`Segmenter.decode`. B x T prompt sets are one batch of the decoder."""
        batch, targets = prompts.points.shape[:2]
        sparse, dense = self._model.prompt_encoder(
            input_points=self._to_input(prompts.points).flatten(0, 1).unsqueeze(1),
            input_labels=prompts.labels.flatten(0, 1).unsqueeze(1),
            input_boxes=self._boxes(prompts.boxes),
            input_masks=None if prompts.masks is None else prompts.masks.flatten(0, 1)[:, None],
        )
        logits, scores, _, _ = self._model.mask_decoder(
            image_embeddings=embedding.features.repeat_interleave(targets, 0),
            image_positional_embeddings=self._image_pe.expand(batch * targets, -1, -1, -1),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
            high_resolution_features=[f.repeat_interleave(targets, 0) for f in embedding.high_res],
        )
        return logits[:, 0].unflatten(0, (batch, targets)), scores[:, 0].unflatten(
            0, (batch, targets)
        )

    def to_image(self, logits: Tensor, height: int, width: int) -> Tensor:
        """See :meth:`Segmenter.to_image`."""
        return F.interpolate(logits, size=(height, width), mode="bilinear", align_corners=False)

    def _to_input(self, relative: Tensor) -> Tensor:
        # transformers adds half a pixel itself.
        return relative * self.input_size - 0.5

    def _boxes(self, boxes: Tensor | None) -> Tensor | None:
        return None if boxes is None else self._to_input(boxes).flatten(0, 1).unsqueeze(1)


def _resize(images: Tensor, size: int) -> Tensor:
    return F.interpolate(
        images, size=(size, size), mode="bilinear", align_corners=False, antialias=True
    )


def _config(input_size: int) -> Sam2Config:
    """A configuration for another input size than 1024 (feature and mask sizes follow)."""
    if input_size % 32 or input_size < 128:
        raise ConfigError(f"SAM 2 input_size {input_size}: take a multiple of 32, at least 128")
    sizes = [[input_size // stride] * 2 for stride in (4, 8, 16)]
    return Sam2Config(
        vision_config={"backbone_feature_sizes": sizes},
        prompt_encoder_config={"image_size": input_size},
    )


def load_strictly(model: Sam2Model, path: Path) -> Sam2Model:
    """Load a safetensors file in transformers' names; nothing may be missing.

    Keys of the video part (memory attention and encoder), which an official file also holds and
    the image model does not have, are left out.

    :raises WeightsError: missing or unknown keys, or shapes that do not fit.
    """
    wanted = model.state_dict()
    state = load_file(path)
    video = [re.compile(p) for p in (model._keys_to_ignore_on_load_unexpected or [])]
    unknown = [k for k in state if k not in wanted and not any(p.search(k) for p in video)]
    missing = [k for k in wanted if k not in state]
    if unknown or missing:
        raise WeightsError(
            f"{path} is not this model: missing {missing[:3]}, unknown {unknown[:3]}; "
            "run `samg weights verify`, or name the checkpoint that fits"
        )
    try:
        model.load_state_dict({k: state[k].float() for k in wanted})
    except RuntimeError as error:
        raise WeightsError(f"{path} does not fit this model: {error}") from error
    return model


@models.register("sam2_hiera_tiny")
def sam2_hiera_tiny(path: Path | None, input_size: int, device: torch.device, dtype):
    """SAM 2 Hiera-Tiny; random weights where ``path`` is None (tests)."""
    model = Sam2Model(_config(input_size))
    if path is not None:
        load_strictly(model, path)
    return Sam2Segmenter(model, input_size, device, dtype)
