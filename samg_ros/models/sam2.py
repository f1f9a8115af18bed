"""SAM 2 (arXiv 2408.00714) as a :class:`~samg_ros.models.base.Segmenter`, by transformers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from samg_ros.models.base import Embedding, Prompts, models
from samg_ros.models.loading import Sizes, build

if TYPE_CHECKING:
    from transformers import Sam2Config, Sam2Model


STRIDES = (4, 8, 16)


@dataclass(frozen=True)
class Hiera:
    """What differs between the sizes; width and heads double from stage to stage.

    :param width: channels of the first stage.
    :param heads: attention heads of the first stage.
    :param blocks: blocks of each stage.
    :param whole: blocks that attend to the whole image, counted from 0.
    :param windows: side of the other blocks' windows, by stage.
    :param background: side of the coarse part of the position embedding.
    """

    width: int
    heads: int
    blocks: tuple[int, ...]
    whole: tuple[int, ...]
    windows: tuple[int, ...] = (8, 4, 14, 7)
    background: int = 7


TINY = Hiera(96, 1, (1, 2, 7, 2), (5, 7, 9))
SMALL = Hiera(96, 1, (1, 2, 11, 2), (7, 10, 13))
BASE_PLUS = Hiera(112, 2, (2, 3, 16, 3), (12, 16, 20), background=14)
LARGE = Hiera(144, 2, (2, 6, 36, 4), (23, 33, 43), windows=(8, 4, 16, 8))
FAMILY = {
    "sam2_hiera_tiny": TINY,
    "sam2_hiera_small": SMALL,
    "sam2_hiera_base_plus": BASE_PLUS,
    "sam2_hiera_large": LARGE,
    "sam2_1_hiera_tiny": TINY,
    "sam2_1_hiera_small": SMALL,
    "sam2_1_hiera_base_plus": BASE_PLUS,
    "sam2_1_hiera_large": LARGE,
}


def find(width: int, blocks: int) -> Hiera | None:
    """The size with that width and number of blocks, by which a checkpoint can be recognised."""
    return next((s for s in FAMILY.values() if (s.width, sum(s.blocks)) == (width, blocks)), None)


def sam2_config(hiera: Hiera, input_size: int = 1024) -> Sam2Config:
    """SAM 2's configuration with this encoder at a square input (map sizes follow)."""
    from transformers import Sam2Config

    widths = [hiera.width << stage for stage in range(4)]
    backbone = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": hiera.width,
        "num_attention_heads": hiera.heads,
        "embed_dim_per_stage": widths,
        "num_attention_heads_per_stage": [hiera.heads << stage for stage in range(4)],
        "blocks_per_stage": list(hiera.blocks),
        "global_attention_blocks": list(hiera.whole),
        "window_size_per_stage": list(hiera.windows),
        "window_positional_embedding_background_size": [hiera.background] * 2,
    }
    return Sam2Config(
        vision_config={
            "backbone_config": backbone,
            "backbone_channel_list": widths[::-1],
            "backbone_feature_sizes": [[input_size // stride] * 2 for stride in STRIDES],
        },
        prompt_encoder_config={"image_size": input_size},
    )


IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)
# Windows are 8 x 8 on a map of stride 4. Preferred is half the side it was trained at, measured as
# the best trade: an image takes a fifth of the time (SAM 2 tiny, bf16, two cores: 0.39 s, not
# 2.1 s), and masks stay good, which they do not at 256 px (six scenes by an 84 px camera: mean IoU
# 0.85 at 512, 0.59 at 256).
SIZES = Sizes(native=1024, step=32, smallest=128, preferred=512)


class Sam2Segmenter:
    """SAM 2's image encoder, prompt encoder and mask decoder at a chosen square input size.

    Image encoder and mask decoder run in ``dtype``; the prompt encoder stays in float32, because
    half a pixel of a 512 px input does not fit bf16's 8 bits of mantissa.

    :param model: a loaded model whose configuration fits ``input_size``.
    """

    def __init__(
        self, model: Sam2Model, input_size: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.input_size = input_size
        self.mask_size = input_size // 4
        self.device = device
        self._dtype = dtype
        self.network = model.eval().requires_grad_(False).to(device)
        self.network.vision_encoder.to(dtype)
        self.network.mask_decoder.to(dtype)
        self._image_pe = self.network.get_image_wide_positional_embeddings().to(dtype)
        self._mean = torch.tensor(IMAGE_MEAN, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(IMAGE_STD, device=device).view(1, 3, 1, 1)

    @torch.inference_mode()
    def encode(self, images: Tensor) -> Embedding:
        """See :meth:`Segmenter.encode`. The image is squashed to a square, as SAM 2 does."""
        square = _resize(images, self.input_size)
        pixels = ((square - self._mean) / self._std).to(self._dtype)
        maps = self.network.vision_encoder(pixels).fpn_hidden_states
        coarse = maps[2].float()
        no_memory = self.network.no_memory_embedding.view(1, -1, 1, 1)
        decoder = self.network.mask_decoder
        return Embedding(
            features=(coarse + no_memory).to(self._dtype),
            correspondence=coarse,
            high_res=(decoder.conv_s0(maps[0]), decoder.conv_s1(maps[1])),
        )

    @torch.inference_mode()
    def decode(self, embedding: Embedding, prompts: Prompts) -> tuple[Tensor, Tensor]:
        """See :meth:`Segmenter.decode`. B x T prompt sets are one batch of the decoder."""
        batch, targets = prompts.points.shape[:2]
        sparse, dense = self.network.prompt_encoder(
            input_points=self._to_input(prompts.points).flatten(0, 1).unsqueeze(1),
            input_labels=prompts.labels.flatten(0, 1).unsqueeze(1),
            input_boxes=self._boxes(prompts.boxes),
            input_masks=None if prompts.masks is None else prompts.masks.flatten(0, 1)[:, None],
        )
        logits, scores, _, _ = self.network.mask_decoder(
            image_embeddings=embedding.features.repeat_interleave(targets, 0),
            image_positional_embeddings=self._image_pe.expand(batch * targets, -1, -1, -1),
            sparse_prompt_embeddings=sparse.to(self._dtype),
            dense_prompt_embeddings=dense.to(self._dtype),
            multimask_output=True,
            high_resolution_features=[f.repeat_interleave(targets, 0) for f in embedding.high_res],
        )
        return _by_target(logits, batch), _by_target(scores, batch)

    def to_image(self, logits: Tensor, height: int, width: int) -> Tensor:
        """See :meth:`Segmenter.to_image`."""
        return F.interpolate(logits, size=(height, width), mode="bilinear", align_corners=False)

    def _to_input(self, relative: Tensor) -> Tensor:
        # transformers adds half a pixel itself.
        return relative * self.input_size - 0.5

    def _boxes(self, boxes: Tensor | None) -> Tensor | None:
        return None if boxes is None else self._to_input(boxes).flatten(0, 1).unsqueeze(1)


def _by_target(output: Tensor, batch: int) -> Tensor:
    """The decoder's float32 [B, T, ...] of [B * T, 1, ...]."""
    return output[:, 0].float().unflatten(0, (batch, -1))


def _resize(images: Tensor, size: int) -> Tensor:
    return F.interpolate(
        images, size=(size, size), mode="bilinear", align_corners=False, antialias=True
    )


def _segmenter(
    name: str, path: Path | None, input_size: int, device: torch.device, dtype: torch.dtype
) -> Sam2Segmenter:
    """Build one of the family and load it; random weights where ``path`` is None."""
    from transformers import Sam2Model

    size = SIZES.choose(name, input_size)
    # An official file also holds the video part, which the image model does not have.
    video = Sam2Model._keys_to_ignore_on_load_unexpected or ()
    network = build(lambda: Sam2Model(sam2_config(FAMILY[name], size)), path, device, video)
    return Sam2Segmenter(network, size, device, dtype)


for _name in FAMILY:
    models.register(_name)(partial(_segmenter, _name))
