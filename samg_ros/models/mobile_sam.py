"""MobileSAM (arXiv 2306.14289): SAM with a TinyViT-5M image encoder, which is kornia's."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from samg_ros.models.base import models
from samg_ros.models.loading import Sizes, build, kornia_model
from samg_ros.models.sam import SamNetwork, SamSegmenter

STRIDE = 16
SIZES = Sizes(native=1024, step=STRIDE, smallest=128)
CLASSIFIER = (r"^image_encoder\.(norm_head|head)\.",)


def tiny_vit(input_size: int) -> nn.Module:
    """float [B, 3, S, S] to float [B, 256, S / 16, S / 16], S = ``input_size``."""
    # On the CPU even for a network without numbers: it computes its tables of distances.
    with torch.device("cpu"):
        encoder: nn.Module = kornia_model("tiny_vit").TinyViT.from_config(
            "5m", img_size=input_size, mobile_sam=True
        )
    del encoder.norm_head, encoder.head
    return encoder


@models.register("mobile_sam")
def mobile_sam(
    path: Path | None, input_size: int, device: torch.device, dtype: torch.dtype
) -> SamSegmenter:
    """MobileSAM; random weights where ``path`` is None."""
    size = SIZES.choose("mobile_sam", input_size)
    network = build(lambda: SamNetwork(tiny_vit(size), size // STRIDE), path, device, CLASSIFIER)
    return SamSegmenter(network, size, device, dtype)
