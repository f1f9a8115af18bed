"""Soft actor-critic of stable-baselines3 with gradient steps for small networks on one core.

Its networks, optimisers, replay and driving are used as they are. Only the losses' gradients are
worked out by hand, in NumPy on the memory of the torch parameters: for layers of 128, autograd's
bookkeeping takes longer than the arithmetic. A test holds the two against each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.logger import Logger
from torch import nn


class NumpyMlp:
    """The linear layers of ``module`` with ReLU between them, as one sees them without autograd.

    Values and gradients are views: a torch optimiser's step on the module is seen here at once,
    and finds in ``parameter.grad`` what :meth:`backward` wrote.

    :param module: on the CPU, float32; layers other than linear ones are taken for ReLU.
    :param rectify: a ReLU follows the last layer too.
    """

    def __init__(self, module: nn.Module, *, rectify: bool = False) -> None:
        self._rectify = rectify
        self._values: list[tuple[np.ndarray, np.ndarray]] = []
        self._grads: list[tuple[np.ndarray, np.ndarray]] = []
        for layer in module.modules():
            if isinstance(layer, nn.Linear):
                pair = (layer.weight, layer.bias)
                for parameter in pair:
                    parameter.grad = torch.zeros_like(parameter)
                self._values.append((pair[0].detach().numpy(), pair[1].detach().numpy()))
                self._grads.append((pair[0].grad.numpy(), pair[1].grad.numpy()))  # type: ignore[union-attr]

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """:param x: float32 [B, I]. :return: float32 [B, O], and the inputs of all layers."""
        inputs: list[np.ndarray] = []
        for weight, bias in self._values:
            if inputs:
                np.maximum(x, 0, out=x)
            inputs.append(x)
            x = x @ weight.T
            x += bias
        if self._rectify:
            np.maximum(x, 0, out=x)
        return x, inputs

    def backward(self, inputs: list[np.ndarray], gradient: np.ndarray) -> None:
        """Write the gradients of the parameters.

        :param inputs: from :meth:`forward`.
        :param gradient: of the loss to the output of the last linear layer, float32 [B, O].
        """
        for k in reversed(range(len(inputs))):
            np.matmul(gradient.T, inputs[k], out=self._grads[k][0])
            np.sum(gradient, axis=0, out=self._grads[k][1])
            if k:
                gradient = self._before(k, inputs, gradient)

    def to_input(self, inputs: list[np.ndarray], gradient: np.ndarray) -> np.ndarray:
        """:return: gradient of the loss to the input, float32 [B, I]; parameters' are not written.

        :param inputs: from :meth:`forward`. :param gradient: as for :meth:`backward`.
        """
        for k in reversed(range(1, len(inputs))):
            gradient = self._before(k, inputs, gradient)
        return gradient @ self._values[0][0]

    def _before(self, k: int, inputs: list[np.ndarray], gradient: np.ndarray) -> np.ndarray:
        """Gradient at layer ``k``'s output to that at the output of the one before."""
        gradient = gradient @ self._values[k][0]
        gradient *= inputs[k] > 0
        return gradient


_LOG_STD = (-20.0, 2.0)  # as stable-baselines3 clips the log of the deviation
_EPSILON = 1e-6  # as it adds to 1 - tanh**2
_HALF_LOG_2_PI = float(0.5 * np.log(2 * np.pi))


@dataclass(frozen=True)
class _Drawn:
    """Actions of a batch, float32 [B, A], their log probability [B], and what the gradient needs:
    layers' inputs, noise, deviation, the tanh's slope, and where the deviation is not clipped."""

    actions: np.ndarray
    log_prob: np.ndarray
    inputs: list[np.ndarray]
    features: list[np.ndarray]
    noise: np.ndarray
    std: np.ndarray
    slope: np.ndarray
    free: np.ndarray


class FastSAC(SAC):
    """:class:`stable_baselines3.SAC` on a CPU, for ReLU layers and vectors of states, with two
    critics, a learned temperature and a constant learning rate.

    :param average_decay: decay a gradient step of :attr:`average`.
    """

    average: dict[str, torch.Tensor]
    """Running averages of the actor's parameters: they act more steadily than the last ones."""

    def __init__(self, *args: Any, average_decay: float, **kwargs: Any) -> None:
        self._average_decay = average_decay
        super().__init__(*args, **kwargs)
        # Its own default logs nothing either, but leaves an empty folder in /tmp.
        self.set_logger(Logger(folder=None, output_formats=[]))

    def _setup_model(self) -> None:
        super()._setup_model()
        actor, critic, target = self.policy.actor, self.policy.critic, self.policy.critic_target
        self._trunk = NumpyMlp(actor.latent_pi, rectify=True)
        log_std: Any = actor.log_std  # a layer here; a parameter only with use_sde
        self._mean, self._log_std = NumpyMlp(actor.mu), NumpyMlp(log_std)
        self._critics = [NumpyMlp(network) for network in critic.q_networks]
        self._targets = [NumpyMlp(network) for network in target.q_networks]
        self._followed = list(zip(target.parameters(), critic.parameters(), strict=True))
        self._acting = dict(actor.named_parameters())
        self.average = {name: value.detach().clone() for name, value in self._acting.items()}

    def train(self, gradient_steps: int, batch_size: int = 64) -> None:
        """Gradient steps that change the networks as stable-baselines3's do, up to rounding."""
        for _ in range(gradient_steps):
            self._step(self.replay_buffer.sample(batch_size))  # type: ignore[union-attr]
        self._n_updates += gradient_steps

    def _step(self, batch: Any) -> None:
        states, actions = batch.observations.numpy(), batch.actions.numpy()
        drawn = self._draw(states)
        temperature = self._learn_temperature(drawn.log_prob)
        self._learn_values(states, actions, self._goal(batch, temperature))
        self._learn_actions(states, drawn, temperature)
        with torch.no_grad():
            for target, value in self._followed:
                target.lerp_(value, self.tau)
            for name, value in self._acting.items():
                self.average[name].lerp_(value, 1 - self._average_decay)

    def _draw(self, states: np.ndarray) -> _Drawn:
        hidden, inputs = self._trunk.forward(states)
        mean, features = self._mean.forward(hidden)
        raw = self._log_std.forward(hidden)[0]
        log_std = np.clip(raw, *_LOG_STD)
        noise = torch.normal(torch.zeros(mean.shape), torch.ones(mean.shape)).numpy()
        std = np.exp(log_std)
        actions = np.tanh(mean + std * noise)
        slope = 1 - actions * actions
        normal = -0.5 * noise * noise - log_std - _HALF_LOG_2_PI
        log_prob = (normal - np.log(slope + _EPSILON)).sum(axis=1)
        return _Drawn(actions, log_prob, inputs, features, noise, std, slope, raw == log_std)

    def _learn_temperature(self, log_prob: np.ndarray) -> float:
        """:return: what the temperature was before."""
        log, optimizer = self.log_ent_coef, self.ent_coef_optimizer
        assert log is not None and optimizer is not None  # this class is made with ent_coef auto
        temperature = float(log.detach().exp())
        log.grad = torch.full_like(log, -float(log_prob.mean() + self.target_entropy))
        optimizer.step()
        return temperature

    def _goal(self, batch: Any, temperature: float) -> np.ndarray:
        """What the critics shall say, float32 [B, 1]."""
        states = batch.next_observations.numpy()
        drawn = self._draw(states)
        pairs = np.concatenate([states, drawn.actions], axis=1)
        values = np.minimum(*(target.forward(pairs)[0] for target in self._targets))
        values -= temperature * drawn.log_prob[:, None]
        discounts = self.gamma if batch.discounts is None else batch.discounts.numpy()
        return batch.rewards.numpy() + (1 - batch.dones.numpy()) * discounts * values

    def _learn_values(self, states: np.ndarray, actions: np.ndarray, goal: np.ndarray) -> None:
        pairs = np.concatenate([states, actions], axis=1)
        for critic in self._critics:
            values, inputs = critic.forward(pairs)
            critic.backward(inputs, (values - goal) / len(goal))
        self.critic.optimizer.step()

    def _learn_actions(self, states: np.ndarray, drawn: _Drawn, temperature: float) -> None:
        count = len(states)
        pairs = np.concatenate([states, drawn.actions], axis=1)
        (one, first), (two, second) = (critic.forward(pairs) for critic in self._critics)
        lower = one <= two
        share = np.float32(-1 / count)
        to_pairs = self._critics[0].to_input(first, lower * share)
        to_pairs += self._critics[1].to_input(second, ~lower * share)
        # The loss is the mean of temperature * log_prob - value; tanh's slope is in both.
        weight = np.float32(temperature / count)
        of_density = 2 * weight * drawn.actions / (drawn.slope + _EPSILON)
        to_mean = (to_pairs[:, states.shape[1] :] + of_density) * drawn.slope
        to_log_std = (to_mean * drawn.noise * drawn.std - weight) * drawn.free
        to_hidden = self._mean.to_input(drawn.features, to_mean)
        to_hidden += self._log_std.to_input(drawn.features, to_log_std)
        self._mean.backward(drawn.features, to_mean)
        self._log_std.backward(drawn.features, to_log_std)
        self._trunk.backward(drawn.inputs, to_hidden * (drawn.features[0] > 0))
        self.actor.optimizer.step()
