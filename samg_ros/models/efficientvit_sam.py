"""EfficientViT-SAM L0 and L1 (arXiv 2402.05008): the segmenter of SAM-G's authors.

An EfficientViT backbone and a neck in place of SAM's image encoder. The neck brings every input
size to the 64 x 64 cells of SAM at 1024 px, for which prompt encoder and mask decoder were made.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samg_ros.models.base import models
from samg_ros.models.loading import Sizes, build
from samg_ros.models.sam import CHANNELS, SamNetwork, SamSegmenter, layer_norm_2d

WIDTHS = (32, 64, 128, 256, 512)
HEAD_CHANNELS = 32
NEIGHBOURHOOD = 5
# Channels inside a block over those outside; where the resolution is halved, four times as many.
EXPANSIONS = (1, 4, 4, 4, 6)
DOWN_FACTOR = 4
# Keeps 0 / 0 from arising where no key answers a query.
TINY = 1e-15


class Chain(nn.Module):
    """Modules one after the other."""

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        super().__init__()
        self.op_list = nn.ModuleList(modules)

    def forward(self, maps: Tensor) -> Tensor:
        for module in self.op_list:
            maps = module(maps)
        return maps


class Branch(nn.Module):
    """``main``, added to its input where the shapes allow it."""

    def __init__(self, main: nn.Module, *, residual: bool = True) -> None:
        super().__init__()
        self.main = main
        self.residual = residual

    def forward(self, maps: Tensor) -> Tensor:
        return maps + self.main(maps) if self.residual else self.main(maps)


class Convolution(nn.Module):
    """Convolution, batch norm and GELU, the last two where asked for.

    :param bias: unless given, there is one where there is no norm.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        *,
        norm: bool = True,
        act: bool = True,
        bias: bool | None = None,
    ) -> None:
        super().__init__()
        biased = not norm if bias is None else bias
        self.conv = nn.Conv2d(
            inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=biased
        )
        self.norm = nn.BatchNorm2d(outputs) if norm else nn.Identity()
        # The checkpoints were trained with the approximation by tanh.
        self.act = nn.GELU(approximate="tanh") if act else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(maps)))


def plain(width: int) -> nn.Sequential:
    """Two 3 x 3 convolutions."""
    parts = {
        "conv1": Convolution(width, width, 3),
        "conv2": Convolution(width, width, 3, act=False),
    }
    return nn.Sequential(OrderedDict(parts))


def fused(inputs: int, outputs: int, stride: int, expansion: int) -> nn.Sequential:
    """Fused MBConv: a 3 x 3 convolution that widens, a 1 x 1 one that narrows."""
    wide = inputs * expansion
    parts = {
        "spatial_conv": Convolution(inputs, wide, 3, stride),
        "point_conv": Convolution(wide, outputs, act=False),
    }
    return nn.Sequential(OrderedDict(parts))


def inverted(inputs: int, outputs: int, stride: int, expansion: int) -> nn.Sequential:
    """MBConv: widen, convolve each channel, narrow; only the last is normalised."""
    wide = inputs * expansion
    parts = {
        "inverted_conv": Convolution(inputs, wide, norm=False),
        "depth_conv": Convolution(wide, wide, 3, stride, groups=wide, norm=False),
        "point_conv": Convolution(wide, outputs, act=False),
    }
    return nn.Sequential(OrderedDict(parts))


class LinearAttention(nn.Module):
    """Attention with ReLU in place of softmax, whose cost grows with the cells, not their square.

    One half of the heads looks at single cells, the other at their neighbourhoods.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        inner, heads = 3 * width, width // HEAD_CHANNELS
        around = nn.Conv2d(
            inner, inner, NEIGHBOURHOOD, padding=NEIGHBOURHOOD // 2, groups=inner, bias=False
        )
        mix = nn.Conv2d(inner, inner, 1, groups=3 * heads, bias=False)
        self.qkv = Convolution(width, inner, norm=False, act=False, bias=False)
        self.aggreg = nn.ModuleList([nn.Sequential(around, mix)])
        self.proj = Convolution(2 * width, width, act=False)

    def forward(self, maps: Tensor) -> Tensor:
        cells = self.qkv(maps)
        scales = torch.cat([cells, *(scale(cells) for scale in self.aggreg)], 1)
        # Sums over all cells: in float32, whatever the convolutions compute in.
        heads = scales.float().flatten(2).unflatten(1, (-1, 3, HEAD_CHANNELS))
        query, key, value = heads.unbind(2)
        query, key = query.relu(), key.relu()
        mixed = (value @ key.mT) @ query
        weight = key.sum(-1)[:, :, None] @ query
        attended = (mixed / (weight + TINY)).flatten(1, 2).unflatten(2, maps.shape[-2:])
        return self.proj(attended.to(maps.dtype))


def attention_block(width: int, expansion: int) -> nn.Sequential:
    """Attention for context, MBConv for detail."""
    parts = {
        "context_module": Branch(LinearAttention(width)),
        "local_module": Branch(inverted(width, width, 1, expansion)),
    }
    return nn.Sequential(OrderedDict(parts))


class Backbone(nn.Module):
    """float [B, 3, S, S] to the maps of its five stages, at strides 2, 4, 8, 16, 32.

    :param depths: blocks of each stage, less the one that halves the resolution.
    """

    def __init__(self, depths: tuple[int, ...]) -> None:
        super().__init__()
        first = [Convolution(3, WIDTHS[0], 3, 2)]
        stem = Chain([*first, *(Branch(plain(WIDTHS[0])) for _ in range(depths[0]))])
        later = (_stage(index, depths[index]) for index in range(1, len(WIDTHS)))
        self.stages = nn.ModuleList([stem, *later])

    def forward(self, pixels: Tensor) -> list[Tensor]:
        maps = [pixels]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[1:]


def _stage(index: int, depth: int) -> Chain:
    """Halve the resolution, then ``depth`` blocks."""
    inputs, width, expansion = WIDTHS[index - 1], WIDTHS[index], EXPANSIONS[index]
    block = fused if index < 3 else inverted
    down = Branch(block(inputs, width, 2, DOWN_FACTOR * expansion), residual=False)
    if index == len(WIDTHS) - 1:
        return Chain([down, *(attention_block(width, expansion) for _ in range(depth))])
    return Chain([down, *(Branch(block(width, width, 1, expansion)) for _ in range(depth))])


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
