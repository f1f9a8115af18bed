"""DrQ-v2's networks: one encoder of pictures, an actor and a twin critic on its features.

Source: Yarats et al. 2021 (arXiv 2107.09645), section 4.1 and appendix B.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from policies.networks import to_float

_KERNEL = 3
_STRIDES = (2, 1, 1, 1)


@dataclass(frozen=True)
class DrQV2NetConfig:
    """Sizes of the networks; they are stored in a checkpoint.

    ``channels``: of each convolution. ``features``: width of the actor's and the critic's own
    code of the picture. ``hidden``: width of the two layers after it.
    """

    image_size: int
    frame_stack: int
    actions: int
    channels: int = 32
    features: int = 50
    hidden: int = 1024

    @property
    def encoded(self) -> int:
        """Length of what the encoder makes of a picture."""
        side = self.image_size
        for stride in _STRIDES:
            side = (side - _KERNEL) // stride + 1
        return self.channels * side * side


class Encoder(nn.Module):
    """Four convolutions; only the critic's loss trains them."""

    def __init__(self, config: DrQV2NetConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3 * config.frame_stack
        for stride in _STRIDES:
            layers += [nn.Conv2d(channels, config.channels, _KERNEL, stride), nn.ReLU()]
            channels = config.channels
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        """:param images: uint8 [B, 3 * frame_stack, S, S], oldest frame first.

        :return: float32 [B, ``config.encoded``].
        """
        return self.layers(to_float(images) / 255.0 - 0.5)


class Actor(nn.Module):
    """The encoder's output to the mean action."""

    def __init__(self, config: DrQV2NetConfig) -> None:
        super().__init__()
        self.trunk = _trunk(config)
        self.head = _mlp(config.features, config.hidden, config.actions)
        self.apply(_initialise)

    def forward(self, encoded: Tensor) -> Tensor:
        """:param encoded: float32 [B, E]. :return: float32 [B, A] in [-1, 1]."""
        return torch.tanh(self.head(self.trunk(encoded)))


class Critic(nn.Module):
    """Two estimates of the return, of which the lower one is believed."""

    def __init__(self, config: DrQV2NetConfig) -> None:
        super().__init__()
        self.trunk = _trunk(config)
        self.first = _mlp(config.features + config.actions, config.hidden, 1)
        self.second = _mlp(config.features + config.actions, config.hidden, 1)
        self.apply(_initialise)

    def forward(self, encoded: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """:param encoded: float32 [B, E]. :param actions: float32 [B, A] in [-1, 1].

        :return: two discounted returns, float32 [B] each.
        """
        code = torch.cat([self.trunk(encoded), actions], dim=1)
        return self.first(code).squeeze(1), self.second(code).squeeze(1)


class DrQV2Net(nn.Module):
    """What acts: encoder and actor. The critic belongs to training alone."""

    def __init__(self, config: DrQV2NetConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.actor = Actor(config)

    def forward(self, images: Tensor) -> Tensor:
        """:param images: uint8 [B, 3 * frame_stack, S, S]. :return: float32 [B, A]: the mean."""
        return self.actor(self.encoder(images))


def _trunk(config: DrQV2NetConfig) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(config.encoded, config.features), nn.LayerNorm(config.features), nn.Tanh()
    )


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, outputs),
    )


def _initialise(module: nn.Module) -> None:
    """Orthogonal weights, those before a convolution's ReLU scaled by sqrt(2); zero biases."""
    if isinstance(module, nn.Conv2d):
        nn.init.orthogonal_(module.weight, nn.init.calculate_gain("relu"))
    elif isinstance(module, nn.Linear):
        nn.init.orthogonal_(module.weight)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)
