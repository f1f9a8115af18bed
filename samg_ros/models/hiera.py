"""The four sizes of SAM 2's Hiera image encoder (arXiv 2306.00989, 2408.00714).

The values are those of Meta's configuration files; SAM 2.1 has the same image model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import Sam2Config

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


def find(width: int, blocks: int) -> Hiera | None:
    """The size with that width and number of blocks, by which a checkpoint can be told."""
    sizes = (TINY, SMALL, BASE_PLUS, LARGE)
    return next((s for s in sizes if (s.width, sum(s.blocks)) == (width, blocks)), None)


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
