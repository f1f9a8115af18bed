"""MobileSAM (arXiv 2306.14289): SAM with a TinyViT-5M image encoder."""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samg_ros.models.base import models
from samg_ros.models.loading import Sizes, build
from samg_ros.models.sam import CHANNELS, SamNetwork, SamSegmenter, layer_norm_2d

WIDTHS = (64, 128, 160, 320)
DEPTHS = (2, 2, 6, 2)
HEADS = (2, 4, 5, 10)
WINDOWS = (7, 7, 14, 7)
EXPANSION = 4
# The first two merge steps halve the map; SAM needs stride 16, so the last one does not.
MERGE_STRIDES = (2, 2, 1)
STRIDE = 16
NOT_BUILT = (r"^image_encoder\.(norm_head|head)\.",)


class TinyVit(nn.Module):
    """float [B, 3, S, S] to float [B, 256, S / 16, S / 16], S a multiple of 16."""

    def __init__(self) -> None:
        super().__init__()
        self.patch_embed = Stem(WIDTHS[0])
        self.layers = nn.Sequential(*(Stage(index) for index in range(len(WIDTHS))))
        self.neck = nn.Sequential(
            nn.Conv2d(WIDTHS[-1], CHANNELS, 1, bias=False),
            layer_norm_2d(CHANNELS),
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False),
            layer_norm_2d(CHANNELS),
        )

    def forward(self, pixels: Tensor) -> Tensor:
        return self.neck(self.layers(self.patch_embed(pixels)))


def convolution(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """A convolution ``c`` without bias, then a batch norm ``bn``."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(OrderedDict(c=conv, bn=nn.BatchNorm2d(outputs)))


class Stem(nn.Module):
    """Pixels to a map of a quarter of the resolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.seq = nn.Sequential(
            convolution(3, half, 3, stride=2), nn.GELU(), convolution(half, width, 3, stride=2)
        )

    def forward(self, pixels: Tensor) -> Tensor:
        return self.seq(pixels)


class Stage(nn.Module):
    """Blocks of one width, then the step to the next width where there is one."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(_block(index) for _ in range(DEPTHS[index])))
        self.downsample = (
            Merge(WIDTHS[index], WIDTHS[index + 1], MERGE_STRIDES[index])
            if index < len(MERGE_STRIDES)
            else nn.Identity()
        )

    def forward(self, maps: Tensor) -> Tensor:
        return self.downsample(self.blocks(maps))


def _block(index: int) -> nn.Module:
    if index == 0:
        return InvertedBottleneck(WIDTHS[index])
    return WindowBlock(WIDTHS[index], HEADS[index], WINDOWS[index])


class InvertedBottleneck(nn.Module):
    """MBConv: widen, convolve each channel, narrow; the sum with the input is activated."""

    def __init__(self, width: int) -> None:
        super().__init__()
        wide = EXPANSION * width
        self.conv1 = convolution(width, wide)
        self.conv2 = convolution(wide, wide, 3, groups=wide)
        self.conv3 = convolution(wide, width)

    def forward(self, maps: Tensor) -> Tensor:
        inner = F.gelu(self.conv2(F.gelu(self.conv1(maps))))
        return F.gelu(maps + self.conv3(inner))


class Merge(nn.Module):
    """From one stage's width to the next one's, usually at half the resolution."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = convolution(inputs, outputs)
        self.conv2 = convolution(outputs, outputs, 3, stride, groups=outputs)
        self.conv3 = convolution(outputs, outputs)

    def forward(self, maps: Tensor) -> Tensor:
        return self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(maps)))))


class WindowBlock(nn.Module):
    """Attention inside windows, a convolution by channel, a perceptron; maps in and out."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.attn = WindowAttention(width, heads, window)
        self.local_conv = convolution(width, width, 3, groups=width)
        self.mlp = Perceptron(width)

    def forward(self, maps: Tensor) -> Tensor:
        maps = self.local_conv(maps + self._attend(maps))
        return maps + self.mlp(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def _attend(self, maps: Tensor) -> Tensor:
        """Cut into windows, attend in each, put together again.

        Windows that reach over the edge see zeros there, as in training.
        """
        side, (height, width) = self.window, maps.shape[-2:]
        padded = F.pad(maps, (0, -width % side, 0, -height % side))
        rows, columns = padded.shape[-2] // side, padded.shape[-1] // side
        cut = padded.unflatten(3, (columns, side)).unflatten(2, (rows, side))
        windows = cut.permute(0, 2, 4, 3, 5, 1).flatten(3, 4).flatten(0, 2)
        attended = self.attn(windows).unflatten(0, (-1, rows, columns)).unflatten(3, (side, side))
        whole = attended.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)
        return whole[..., :height, :width]


class WindowAttention(nn.Module):
    """Attention among the cells of a window, biased by the distance between them."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.window = window
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window * window))

    def forward(self, cells: Tensor) -> Tensor:
        """float [windows, cells, C]."""
        # Each head's query, key and value lie together.
        parts = self.qkv(self.norm(cells)).unflatten(2, (self.heads, 3, -1))
        query, key, value = parts.permute(3, 0, 2, 1, 4)
        bias = self.attention_biases[:, distances(self.window, cells.device)]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias[None])
        return self.proj(mixed.transpose(1, 2).flatten(2))


@lru_cache(maxsize=8)
def distances(side: int, device: torch.device) -> Tensor:
    """For each pair of a window's cells |dy| * side + |dx|, int [side**2, side**2]."""
    along = torch.arange(side, device=device)
    apart = (along[:, None] - along).abs()
    return (apart[:, None, :, None] * side + apart[None, :, None, :]).reshape(side**2, side**2)


class Perceptron(nn.Module):
    """Layer norm and two linear layers over the last dimension."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, EXPANSION * width)
        self.fc2 = nn.Linear(EXPANSION * width, width)

    def forward(self, cells: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(self.norm(cells))))


SIZES = Sizes(native=1024, step=STRIDE, smallest=128)


@models.register("mobile_sam")
def mobile_sam(
    path: Path | None, input_size: int, device: torch.device, dtype: torch.dtype
) -> SamSegmenter:
    """MobileSAM; random weights where ``path`` is None."""
    size = SIZES.choose("MobileSAM", input_size)
    network = build(lambda: SamNetwork(TinyVit(), size // STRIDE), path, device, NOT_BUILT)
    return SamSegmenter(network, size, device, dtype)
