"""EfficientViT-SAM L0 and L1 (arXiv 2402.05008): the segmenter of SAM-G's authors.

kornia's EfficientViT backbone and a neck in place of SAM's image encoder. The neck brings every
input size to the 64 x 64 cells of SAM at 1024 px, for which prompt encoder and mask decoder were
made.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samg_ros.models.base import models
from samg_ros.models.loading import Sizes, build, kornia_model
from samg_ros.models.sam import CHANNELS, SamNetwork, SamSegmenter, layer_norm_2d

SIZES = Sizes(native=512, step=32, smallest=128)
GRID = 64
NECK_WIDTH = 256
NECK_DEPTHS = {"l0": 4, "l1": 8}
# Channels of the backbone's last three stages, from coarse to fine.
LEVELS = {"stage4": 512, "stage3": 256, "stage2": 128}
# The official models set this for all their norms, the mask decoder's too.
NORM_EPS = 1e-6


class Neck(nn.Module):
    """The backbone's last three maps as one of 64 x 64 cells."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        ops = kornia_model("efficient_vit.nn.ops")
        plain = {"norm": None, "act_func": None}
        self.input_ops = nn.ModuleList(
            ops.OpSequential([ops.ConvLayer(width, NECK_WIDTH, 1, act_func=None)])
            for width in LEVELS.values()
        )
        self.middle = ops.OpSequential(
            [
                ops.ResidualBlock(
                    ops.FusedMBConv(
                        NECK_WIDTH, NECK_WIDTH, expand_ratio=1, act_func=("gelu", None)
                    ),
                    ops.IdentityLayer(),
                )
                for _ in range(depth)
            ]
        )
        last = ops.ConvLayer(NECK_WIDTH, CHANNELS, 1, use_bias=True, **plain)
        self.output_ops = nn.ModuleList([ops.OpSequential([last])])

    def forward(self, maps: dict[str, Tensor]) -> Tensor:
        levels = zip(self.input_ops, LEVELS, strict=True)
        joined = torch.stack([_enlarge(take(maps[level])) for take, level in levels]).sum(0)
        return self.output_ops[0](self.middle(joined))


def _enlarge(maps: Tensor) -> Tensor:
    fine = F.interpolate(maps.float(), (GRID, GRID), mode="bicubic", align_corners=False)
    return fine.to(maps.dtype)


class ImageEncoder(nn.Module):
    """float [B, 3, S, S] to float [B, 256, 64, 64], S a multiple of 32.

    :param size: ``l0`` or ``l1``.
    """

    def __init__(self, size: str) -> None:
        super().__init__()
        backbone = kornia_model("efficient_vit.backbone")
        self.backbone = getattr(backbone, f"efficientvit_backbone_{size}")()
        self.neck = Neck(NECK_DEPTHS[size])
        self.norm = layer_norm_2d(CHANNELS)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.norm(self.neck(self.backbone(pixels)))


def _network(size: str) -> SamNetwork:
    network = SamNetwork(ImageEncoder(size), GRID)
    for module in network.modules():
        if isinstance(module, nn.LayerNorm | nn.BatchNorm2d):
            module.eps = NORM_EPS
    return network


def _segmenter(
    size: str, path: Path | None, input_size: int, device: torch.device, dtype: torch.dtype
) -> SamSegmenter:
    """Build ``l0`` or ``l1`` and load it; random weights where ``path`` is None."""
    side = SIZES.choose(f"efficientvit_sam_{size}", input_size)
    return SamSegmenter(build(lambda: _network(size), path, device), side, device, dtype)


for _size in NECK_DEPTHS:
    models.register(f"efficientvit_sam_{_size}")(partial(_segmenter, _size))
