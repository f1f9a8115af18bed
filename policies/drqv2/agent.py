"""The DrQ-v2 agent: acts on frame stacks, learns from replayed ones.

Source: Yarats et al. 2021 (arXiv 2107.09645), algorithm 1.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from policies.drqv2.config import DrQV2Config
from policies.drqv2.networks import Critic, DrQV2Net
from policies.drqv2.replay import ReplayBatch
from policies.networks import random_offsets, shift

METRICS = ("critic_loss", "actor_loss", "value", "n_step_return")
"""What :meth:`DrQV2Agent.update` returns, in this order."""

_EDGE = 1e-6  # actions stay this far inside -1 .. 1


class DrQV2Agent:
    """Networks, optimisers and the one source of randomness, all on one device.

    :param actions: number of action values.
    """

    def __init__(self, config: DrQV2Config, actions: int, device: torch.device) -> None:
        torch.manual_seed(config.seed)  # the networks' initial weights, whatever the device
        sizes = config.network(actions)
        self._config, self._device, self._actions = config, device, actions
        self.net = DrQV2Net(sizes).to(device)
        self._critic = Critic(sizes).to(device)
        self._target = copy.deepcopy(self._critic).requires_grad_(False)
        rate = config.learning_rate
        seeing = [*self.net.encoder.parameters(), *self._critic.parameters()]
        self._critic_optimizer = torch.optim.Adam(seeing, lr=rate)
        self._actor_optimizer = torch.optim.Adam(self.net.actor.parameters(), lr=rate)
        self._generator = torch.Generator(device).manual_seed(config.seed)
        self._critic_loss, self._actor_loss = self._critic_loss_of, self._actor_loss_of
        if config.compile:
            self._critic_loss = torch.compile(self._critic_loss_of)
            self._actor_loss = torch.compile(self._actor_loss_of)

    @torch.no_grad()
    def act(self, images: Tensor) -> Tensor:
        """The mean actions, for evaluation.

        :param images: uint8 [N, 3 * frame_stack, S, S]. :return: float32 [N, A] in [-1, 1].
        """
        return self.net(images.to(self._device))

    @torch.no_grad()
    def explore(self, images: Tensor, stddev: float) -> Tensor:
        """Actions with noise of ``stddev``, for training. Shapes as :meth:`act`."""
        mean = self.net(images)
        return noisy(mean, stddev * self._noise(len(images)))

    def random_actions(self, count: int) -> Tensor:
        """:return: float32 [``count``, A], uniform in [-1, 1]."""
        size = (count, self._actions)
        return torch.rand(size, generator=self._generator, device=self._device) * 2 - 1

    def update(self, batch: ReplayBatch, stddev: float) -> Tensor:
        """One step of critic, encoder and actor. :return: float32 [4], see :data:`METRICS`."""
        config = self._config
        images, next_images = self._augmented(batch.images), self._augmented(batch.next_images)
        critic_loss, value, encoded = self._critic_loss(
            images,
            batch.actions,
            batch.returns,
            next_images,
            self._clipped_noise(stddev, len(images)),
            batch.discount,
        )
        _descend(self._critic_optimizer, critic_loss)
        noise = self._clipped_noise(stddev, len(images))
        actor_loss = self._actor_loss(encoded.detach(), noise)
        _descend(self._actor_optimizer, actor_loss)
        _follow(self._target, self._critic, config.target_tau)
        return torch.stack([critic_loss, actor_loss, value, batch.returns.mean()]).detach()

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next update or action depends on."""
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        return {**parts, "generator": self._generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to what :meth:`state_dict` gave. :raises RuntimeError: it does not fit."""
        state = copy.deepcopy(state)  # an optimiser keeps the very tensors that it is given
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self._generator.set_state(state["generator"].cpu())

    def _parts(self) -> dict[str, Any]:
        return {
            "net": self.net,
            "critic": self._critic,
            "target": self._target,
            "critic_optimizer": self._critic_optimizer,
            "actor_optimizer": self._actor_optimizer,
        }

    def _critic_loss_of(
        self,
        images: Tensor,
        actions: Tensor,
        returns: Tensor,
        next_images: Tensor,
        noise: Tensor,
        discount: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """:return: the loss of both critics, their first one's mean value, encoded pictures."""
        with torch.no_grad():
            next_encoded = self.net.encoder(next_images)
            next_actions = noisy(self.net.actor(next_encoded), noise)
            goal = returns + discount * torch.minimum(*self._target(next_encoded, next_actions))
        encoded = self.net.encoder(images)
        first, second = self._critic(encoded, actions)
        return F.mse_loss(first, goal) + F.mse_loss(second, goal), first.mean(), encoded

    def _actor_loss_of(self, encoded: Tensor, noise: Tensor) -> Tensor:
        actions = noisy(self.net.actor(encoded), noise)
        return -torch.minimum(*self._critic(encoded, actions)).mean()

    def _augmented(self, images: Tensor) -> Tensor:
        return shift(images, random_offsets(len(images), self._config.shift_pad, self._generator))

    def _clipped_noise(self, stddev: float, count: int) -> Tensor:
        clip = self._config.stddev_clip
        return (stddev * self._noise(count)).clamp_(-clip, clip)

    def _noise(self, count: int) -> Tensor:
        size = (count, self._actions)
        return torch.randn(size, generator=self._generator, device=self._device)


def noisy(mean: Tensor, noise: Tensor) -> Tensor:
    """``mean + noise``, kept within [-1, 1]. Gradients pass as if nothing had been cut off, so
    that an action at its limit can be led away from it.

    :param mean: float [B, A] in [-1, 1]. :param noise: float [B, A].
    """
    free = mean + noise
    return free + (free.clamp(-1 + _EDGE, 1 - _EDGE) - free).detach()


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    optimizer.zero_grad(set_to_none=True)
    loss.backward(inputs=parameters)
    optimizer.step()


@torch.no_grad()
def _follow(target: nn.Module, source: nn.Module, share: float) -> None:
    torch._foreach_lerp_(list(target.parameters()), list(source.parameters()), share)
