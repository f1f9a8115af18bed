"""One student being fitted: network, optimiser, running average of weights, losses."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from policies.networks import StudentNet, shift
from policies.student.dataset import Batch, Dataset
from policies.student.policy import JointOffsets
from sim_bridge.experts.state import Normalizer


class StudentLearner:
    """Fits a :class:`StudentNet` to a :class:`Dataset`.

    The picture code also has to predict the task's state, by a linear head that is thrown away:
    the teacher's actions alone would teach the network slowly where things are.

    :param steps: gradient steps in all; the learning rate falls to zero over them.
    :param state_weight: weight of the state loss beside the action loss.
    :param average_decay: decay a step of the running average of weights.
    :param shift_pad: pictures are shifted by up to so many pixels, a stack's all alike.
    :param offsets: what the network gives instead of actions; None: actions.
    """

    def __init__(
        self,
        network: StudentNet,
        joints: Normalizer,
        states: Normalizer,
        *,
        steps: int,
        learning_rate: float,
        state_weight: float,
        average_decay: float,
        shift_pad: int,
        offsets: JointOffsets | None = None,
    ) -> None:
        self._network = network
        self._joints, self._states = joints, states
        self._state_weight, self._average_decay = state_weight, average_decay
        self._shift_pad, self._offsets = shift_pad, offsets
        self._state_head = nn.Linear(network.config.features, len(states.mean))
        parameters = [*network.parameters(), *self._state_head.parameters()]
        self._optimizer = torch.optim.Adam(parameters, lr=learning_rate, fused=True)
        self._schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self._optimizer, steps)
        self.average = copy.deepcopy(network).requires_grad_(False)
        """The running average, which drives and is kept: it swings less than the last weights,
        and a policy's small errors add up over an episode."""

    def fit(
        self, dataset: Dataset, updates: int, batch_size: int, rng: np.random.Generator
    ) -> float:
        """``updates`` gradient steps. :return: mean action loss, squared, in action units, or
        in those of the offsets."""
        self._network.train()
        total = 0.0
        for _ in range(updates):
            batch = self._shifted(dataset.sample(batch_size, rng), rng)
            action_loss, state_loss = self._losses(batch)
            self._optimizer.zero_grad(set_to_none=True)
            (action_loss + self._state_weight * state_loss).backward()
            self._optimizer.step()
            self._schedule.step()
            self._update_average()
            total += action_loss.item()
        return total / updates

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on, but for what draws the batches."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to what :meth:`state_dict` gave."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, Any]:
        return {
            "network": self._network,
            "state_head": self._state_head,
            "average": self.average,
            "optimizer": self._optimizer,
            "schedule": self._schedule,
        }

    def _shifted(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """As a camera shows it that was moved a little."""
        if not self._shift_pad:
            return batch
        pad, size = self._shift_pad, (len(batch.images), 2)
        offsets = torch.from_numpy(rng.integers(-pad, pad, size, endpoint=True))
        return replace(batch, images=shift(batch.images, offsets))

    def _losses(self, batch: Batch) -> tuple[Tensor, Tensor]:
        joints = torch.from_numpy(self._joints(batch.joints.numpy()))
        states = torch.from_numpy(self._states(batch.states.numpy()))
        code = self._network.encode(batch.images)
        actions = self._network.decode(code, joints)
        return F.mse_loss(actions, self._labels(batch)), F.mse_loss(self._state_head(code), states)

    def _labels(self, batch: Batch) -> Tensor:
        if not self._offsets:
            return batch.labels
        offsets = self._offsets.offset(batch.labels.numpy(), batch.joints[:, -1].numpy())
        return torch.from_numpy(offsets)

    @torch.no_grad()
    def _update_average(self) -> None:
        pairs = zip(self.average.parameters(), self._network.parameters(), strict=True)
        for average, parameter in pairs:
            average.lerp_(parameter, 1 - self._average_decay)
