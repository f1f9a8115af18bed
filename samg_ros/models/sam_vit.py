"""SAM with ViT encoders: B, L, H (arXiv 2304.02643), and MobileSAM's TinyViT (2306.14289)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from samg_ros.models.base import models
from samg_ros.models.loading import Sizes, build, kornia_model
from samg_ros.models.sam import CHANNELS, SamNetwork, SamSegmenter, modeling

PATCH = 16
WINDOW = 14
SIZES = Sizes(native=1024, step=PATCH, smallest=128)


@dataclass(frozen=True)
class Vit:
    """A size of the encoder; ``whole``: the layers that attend to the whole image."""

    width: int
    layers: int
    heads: int
    whole: tuple[int, ...]


FAMILY = {
    "sam_vit_b": Vit(768, 12, 12, (2, 5, 8, 11)),
    "sam_vit_l": Vit(1024, 24, 16, (5, 11, 17, 23)),
    "sam_vit_h": Vit(1280, 32, 16, (7, 15, 23, 31)),
}


def _encoder(vit: Vit) -> nn.Module:
    """The encoder at its own input size, at which its checkpoint fits."""
    encoder: nn.Module = modeling().ImageEncoderViT(
        img_size=SIZES.native,
        patch_size=PATCH,
        embed_dim=vit.width,
        depth=vit.layers,
        num_heads=vit.heads,
        global_attn_indexes=vit.whole,
        window_size=WINDOW,
        use_rel_pos=True,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        out_chans=CHANNELS,
    )
    return encoder


def resize_positions(encoder: nn.Module, grid: int) -> None:
    """Bring the absolute position embedding to ``grid`` cells a side, bicubically.

    The relative ones the package brings to the map's size itself.
    """
    positions = encoder.get_parameter("pos_embed")
    if positions.shape[1] != grid:
        maps = positions.detach().permute(0, 3, 1, 2)
        fine = F.interpolate(maps, size=(grid, grid), mode="bicubic", align_corners=False)
        encoder.pos_embed = nn.Parameter(fine.permute(0, 2, 3, 1))


def _segmenter(
    name: str, path: Path | None, input_size: int, device: torch.device, dtype: torch.dtype
) -> SamSegmenter:
    """Build one of the family and load it; random weights where ``path`` is None."""
    size = SIZES.choose(name, input_size)
    network = build(lambda: SamNetwork(_encoder(FAMILY[name]), size // PATCH), path, device)
    resize_positions(network.image_encoder, size // PATCH)
    return SamSegmenter(network, size, device, dtype)


for _name in FAMILY:
    models.register(_name)(partial(_segmenter, _name))


TINY_STRIDE = 16
TINY_SIZES = Sizes(native=1024, step=TINY_STRIDE, smallest=128)
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
    size = TINY_SIZES.choose("mobile_sam", input_size)
    network = build(
        lambda: SamNetwork(tiny_vit(size), size // TINY_STRIDE), path, device, CLASSIFIER
    )
    return SamSegmenter(network, size, device, dtype)
