"""MobileSAM (arXiv 2306.14289): SAM with a TinyViT-5M image encoder."""

from __future__ import annotations

from pathlib import Path

import torch

from samg_ros.models.loading import build
from samg_ros.models.meta_sam import SamNetwork
from samg_ros.models.registry import models
from samg_ros.models.sam import SamSegmenter
from samg_ros.models.sizes import Sizes
from samg_ros.models.tiny_vit import NOT_BUILT, STRIDE, TinyVit

SIZES = Sizes(native=1024, step=STRIDE, smallest=128)


@models.register("mobile_sam")
def mobile_sam(
    path: Path | None, input_size: int, device: torch.device, dtype: torch.dtype
) -> SamSegmenter:
    """MobileSAM; random weights where ``path`` is None."""
    size = SIZES.choose("MobileSAM", input_size)
    network = build(lambda: SamNetwork(TinyVit(), size // STRIDE), path, device, NOT_BUILT)
    return SamSegmenter(network, size, device, dtype)
