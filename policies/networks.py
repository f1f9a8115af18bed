"""The two networks: a convolutional student on masked pictures, an MLP teacher on states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from policies.pixels import to_float
from samg_ros.parameters import parameter, validate

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


@dataclass(frozen=True)
class StateNetConfig:
    """Sizes of :class:`StateNet`.

    ``squash``: a tanh bounds the actions, as soft actor-critic's; without one the output is
    linear, because experts command beyond the limits and a tanh would have to saturate.
    """

    state: int
    actions: int
    hidden: int = 128
    activation: str = parameter("tanh", "of the hidden layers", choices=("tanh", "relu"))
    squash: bool = False

    def __post_init__(self) -> None:
        validate(self)


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
        self.head = _mlp(config.features + told, config.hidden, config.actions, nn.ReLU)
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


class StateNet(nn.Module):
    """A task's full state to an action, for teachers.

    Tanh layers as in the DAPG experts that it imitates (Rajeswaran et al. 2018, arXiv
    1709.10087), or an actor of soft actor-critic.
    """

    def __init__(self, config: StateNetConfig) -> None:
        super().__init__()
        self.config = config
        activation = nn.ReLU if config.activation == "relu" else nn.Tanh
        self.body = _mlp(config.state, config.hidden, config.actions, activation)

    def forward(self, states: Tensor) -> Tensor:
        """:param states: float32 [B, state], normalised.

        :return: float32 [B, actions], in [-1, 1] up to the clipping that the caller does.
        """
        actions = self.body(states)
        return torch.tanh(actions) if self.config.squash else actions


def _changes(length: int, gain: float) -> Tensor:
    """Float32 [length, length]: turns a stack, oldest first, into its newest entry and the changes
    that led there, newest first, ``gain`` times as large."""
    matrix = torch.zeros(length, length)
    matrix[0, -1] = 1
    for age in range(1, length):
        matrix[age, length - age], matrix[age, length - age - 1] = gain, -gain
    return matrix


def _mlp(inputs: int, hidden: int, outputs: int, activation: type[nn.Module]) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        activation(),
        nn.Linear(hidden, hidden),
        activation(),
        nn.Linear(hidden, outputs),
    )
