"""The two networks: a convolutional student on masked pictures, an MLP teacher on states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sim_bridge.experts.state import mlp


def to_float(images: Tensor) -> Tensor:
    """A copy as float32 in the layout in which a CPU convolves fastest; a GPU loses nothing by it.

    :param images: uint8 [B, C, H, W].
    :return: float32, the same shape and values, channels last in memory.
    """
    # Bytes are put in order first: a quarter of the traffic that ordering floats is.
    return images.contiguous(memory_format=torch.channels_last).to(torch.float32)


# How much larger than what changes a change is made, so that a network heeds it from the start:
# pixels in [0, 1], and joint positions in their standard deviations.
_PIXEL_GAIN, _JOINT_GAIN = 4.0, 10.0


@dataclass(frozen=True)
class StudentNetConfig:
    """Sizes of :class:`StudentNet`; they are stored in its checkpoint.

    ``features`` is the width of the picture's code, ``hidden`` that of the two layers after it.
    ``motion``: what changed between the frames of a stack, in pictures and in joint positions, is
    an input of its own. A task that needs speeds is learned from far fewer episodes that way.
    """

    image_size: int
    frame_stack: int
    joints: int
    actions: int
    features: int = 128
    hidden: int = 256
    motion: bool = False


class StudentNet(nn.Module):
    """Masked pictures and joint positions to an action.

    The trunk is the small network of the first DQN paper (Mnih et al. 2013, arXiv 1312.5602,
    section 5: conv 16 of 8x8/4, conv 32 of 4x4/2): wide enough for a masked scene, which has
    little in it, and four times faster on a CPU than the usual three-layer one.
    """

    _pixel_changes: Tensor
    _joint_changes: Tensor

    def __init__(self, config: StudentNetConfig) -> None:
        super().__init__()
        self.config = config
        side = ((config.image_size - 8) // 4 + 1 - 4) // 2 + 1
        self.trunk = nn.Sequential(
            nn.Conv2d(3 * config.frame_stack, 16, kernel_size=8, stride=4),
            nn.ReLU(),
            nn.Conv2d(16, 32, kernel_size=4, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * side * side, config.features),
            nn.LayerNorm(config.features),
            nn.ReLU(),
        )
        told = config.joints * (config.frame_stack if config.motion else 1)
        self.head = mlp(config.features + told, config.hidden, config.actions, nn.ReLU)
        for name, gain in (("pixel", _PIXEL_GAIN), ("joint", _JOINT_GAIN)):
            changes = _changes(config.frame_stack, gain)
            self.register_buffer(f"_{name}_changes", changes, persistent=False)

    def encode(self, images: Tensor) -> Tensor:
        """Picture code.

        :param images: uint8 [B, 3 * frame_stack, S, S], oldest frame first.
        :return: float32 [B, features]. Masked-out pixels are 0 and stay 0, so they say nothing.
        """
        pixels = to_float(images).div_(255.0)
        if not self.config.motion:
            return self.trunk(pixels)
        first, rest = cast(nn.Conv2d, self.trunk[0]), self.trunk[1:]
        weight = self._weights_of_changes(first.weight)
        return rest(F.conv2d(pixels, weight, first.bias, first.stride))

    def decode(self, code: Tensor, joints: Tensor) -> Tensor:
        """Action of a picture code.

        :param code: float32 [B, features].
        :param joints: float32 [B, frame_stack, joints], normalised, oldest first.
        :return: float32 [B, actions] in [-1, 1].
        """
        told = self._joint_changes @ joints if self.config.motion else joints[:, -1]
        return torch.tanh(self.head(torch.cat([code, told.flatten(1)], dim=1)))

    def forward(self, images: Tensor, joints: Tensor) -> Tensor:
        """:meth:`encode`, then :meth:`decode`."""
        return self.decode(self.encode(images), joints)

    def _weights_of_changes(self, weight: Tensor) -> Tensor:
        """The first layer's weights, for the stack as it is: it is linear, so the changes
        themselves need not be computed."""
        of_entry = weight.unflatten(1, (self.config.frame_stack, 3))
        return torch.einsum("okchw,kt->otchw", of_entry, self._pixel_changes).flatten(1, 2)


def _changes(length: int, gain: float) -> Tensor:
    """Float32 [length, length]: turns a stack, oldest first, into its newest entry and the changes
    that led there, newest first, ``gain`` times as large."""
    matrix = torch.zeros(length, length)
    matrix[0, -1] = 1
    for age in range(1, length):
        matrix[age, length - age], matrix[age, length - age - 1] = gain, -gain
    return matrix


def random_offsets(count: int, pad: int, generator: torch.Generator) -> Tensor:
    """:return: int64 [count, 2] on the generator's device, (dy, dx) each in -pad .. pad."""
    size, device = (count, 2), generator.device
    return torch.randint(-pad, pad + 1, size, generator=generator, device=device)


def shift(images: Tensor, offsets: Tensor) -> Tensor:
    """Every image moved by its own offset; what comes in at an edge repeats the edge.

    That is padding by replication and cropping at a random place. The publication speaks of a
    bilinear interpolation on top, but the grid of its code falls on the pixels' centres, where
    interpolating changes nothing; so pixels are copied here, which also works on uint8.

    :param images: any type [B, C, H, W]; all frames of a stack move together.
    :param offsets: int64 [B, 2], (dy, dx): output pixel (y, x) is input pixel (y + dy, x + dx).
    :return: as ``images``.
    """
    return (cropped if images.device.type == "cpu" else gathered)(images, offsets)


def gathered(images: Tensor, offsets: Tensor) -> Tensor:
    """:func:`shift` all at once, as a GPU likes it."""
    height, width = images.shape[2:]
    device = images.device
    y = (torch.arange(height, device=device) + offsets[:, :1]).clamp(0, height - 1)
    x = (torch.arange(width, device=device) + offsets[:, 1:]).clamp(0, width - 1)
    rows = images.gather(2, y[:, None, :, None].expand_as(images))
    return rows.gather(3, x[:, None, None, :].expand_as(images))


def cropped(images: Tensor, offsets: Tensor) -> Tensor:
    """:func:`shift` by copying whole rows: a CPU gathers pixel by pixel, which takes eight times
    as long (64 stacks of three 112 px pictures: 40 ms against 5)."""
    height, width = images.shape[2:]
    pad = int(offsets.abs().max())
    border = ((0, 0), (0, 0), (pad, pad), (pad, pad))
    padded = torch.from_numpy(np.pad(images.numpy(), border, "edge"))
    places = zip(padded, (offsets + pad).tolist(), strict=True)
    return torch.stack([image[:, y : y + height, x : x + width] for image, (y, x) in places])
