"""EfficientViT-SAM L0 and L1 (arXiv 2402.05008): the segmenter of SAM-G's authors.

An EfficientViT backbone and a neck in place of SAM's image encoder. The neck brings every input
size to the 64 x 64 cells of SAM at 1024 px, for which prompt encoder and mask decoder were made.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samg_ros.models.efficientvit import WIDTHS, Backbone, Branch, Chain, Convolution, fused
from samg_ros.models.loading import build
from samg_ros.models.meta_sam import CHANNELS, SamNetwork, layer_norm_2d
from samg_ros.models.registry import models
from samg_ros.models.sam import SamSegmenter
from samg_ros.models.sizes import Sizes

SIZES = Sizes(native=512, step=32, smallest=128)
GRID = 64
NECK_WIDTH = 256
# The official models set this for all their norms, the mask decoder's too.
NORM_EPS = 1e-6


class Neck(nn.Module):
    """The backbone's last three maps, from coarse to fine, as one of 64 x 64 cells."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        coarse_first = WIDTHS[:1:-1]
        self.input_ops = nn.ModuleList(
            Chain([Convolution(width, NECK_WIDTH, act=False)]) for width in coarse_first
        )
        self.middle = Chain(Branch(fused(NECK_WIDTH, NECK_WIDTH, 1, 1)) for _ in range(depth))
        last = Convolution(NECK_WIDTH, CHANNELS, norm=False, act=False)
        self.output_ops = nn.ModuleList([Chain([last])])

    def forward(self, maps: list[Tensor]) -> Tensor:
        levels = zip(self.input_ops, maps[::-1], strict=False)
        joined = torch.stack([_enlarge(take(level)) for take, level in levels]).sum(0)
        return self.output_ops[0](self.middle(joined))


def _enlarge(maps: Tensor) -> Tensor:
    fine = F.interpolate(maps.float(), (GRID, GRID), mode="bicubic", align_corners=False)
    return fine.to(maps.dtype)


class ImageEncoder(nn.Module):
    """float [B, 3, S, S] to float [B, 256, 64, 64], S a multiple of 32."""

    def __init__(self, backbone_depths: tuple[int, ...], neck_depth: int) -> None:
        super().__init__()
        self.backbone = Backbone(backbone_depths)
        self.neck = Neck(neck_depth)
        self.norm = layer_norm_2d(CHANNELS)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.norm(self.neck(self.backbone(pixels)))


def _network(backbone_depths: tuple[int, ...], neck_depth: int) -> SamNetwork:
    network = SamNetwork(ImageEncoder(backbone_depths, neck_depth), GRID)
    for module in network.modules():
        if isinstance(module, nn.LayerNorm | nn.BatchNorm2d):
            module.eps = NORM_EPS
    return network


def _segmenter(
    name: str,
    depths: tuple[tuple[int, ...], int],
    path: Path | None,
    input_size: int,
    device: torch.device,
    dtype: torch.dtype,
) -> SamSegmenter:
    """Build and load one of the family."""
    size = SIZES.choose(name, input_size)
    network = build(lambda: _network(*depths), path, device)
    return SamSegmenter(network, size, device, dtype)


@models.register("efficientvit_sam_l0")
def l0(
    path: Path | None, input_size: int, device: torch.device, dtype: torch.dtype
) -> SamSegmenter:
    """EfficientViT-SAM-L0; random weights where ``path`` is None."""
    depths = (1, 1, 1, 4, 4), 4
    return _segmenter("EfficientViT-SAM-L0", depths, path, input_size, device, dtype)


@models.register("efficientvit_sam_l1")
def l1(
    path: Path | None, input_size: int, device: torch.device, dtype: torch.dtype
) -> SamSegmenter:
    """EfficientViT-SAM-L1; random weights where ``path`` is None."""
    depths = (1, 1, 1, 6, 6), 8
    return _segmenter("EfficientViT-SAM-L1", depths, path, input_size, device, dtype)
