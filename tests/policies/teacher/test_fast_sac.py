"""The gradients that are worked out by hand are those of stable-baselines3."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3 import SAC

from policies.teacher.fast_sac import FastSAC


class Box(gymnasium.Env):
    """Random states and rewards; episodes of seven steps that end or are cut off."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (5,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (3,), np.float32)

    def __init__(self) -> None:
        self.rng, self.steps = np.random.default_rng(0), 0

    def reset(self, *, seed=None, options=None):
        return self.rng.normal(size=5).astype(np.float32), {}

    def step(self, action):
        self.steps += 1
        state = self.rng.normal(size=5).astype(np.float32)
        return state, float(state[0] + action[0]), self.steps % 14 == 7, self.steps % 14 == 0, {}


def make(cls: type[SAC], **options: Any) -> Any:
    averaging = {"average_decay": 0.9} if cls is FastSAC else {}
    return cls("MlpPolicy", Box(), seed=1, device="cpu", **options, **averaging)


def trained(cls: type[SAC], n_steps: int) -> dict[str, torch.Tensor]:
    """Parameters after 40 gradient steps on the same 60 transitions, with the same noise."""
    model = make(
        cls,
        learning_rate=3e-3,
        learning_starts=60,
        batch_size=16,
        n_steps=n_steps,
        ent_coef="auto_0.3",
        tau=0.05,
        policy_kwargs={"net_arch": [32, 24]},
    )
    model.learn(60, log_interval=1000)
    torch.manual_seed(2)
    np.random.seed(2)
    model.train(gradient_steps=40, batch_size=16)
    found = {name: tensor.clone() for name, tensor in model.policy.state_dict().items()}
    return found | {"temperature": model.log_ent_coef.detach().clone()}


@pytest.mark.parametrize("n_steps", [1, 3])
def test_steps_are_those_of_stable_baselines3(n_steps: int) -> None:
    expected, found = trained(SAC, n_steps), trained(FastSAC, n_steps)
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=2e-4, rtol=2e-3, msg=name)


def test_a_clipped_deviation_gets_no_gradient() -> None:
    results = []
    for cls in (SAC, FastSAC):
        model = make(cls, learning_starts=30, batch_size=8)
        model.learn(30, log_interval=1000)
        with torch.no_grad():
            model.actor.log_std.bias.copy_(torch.tensor([5.0, -0.5, -25.0]))
        torch.manual_seed(2)
        np.random.seed(2)
        model.train(gradient_steps=1, batch_size=8)
        results.append(model.actor.log_std.bias.detach().clone())
    assert results[1][0] == 5 and results[1][2] == -25 and results[1][1] != -0.5
    torch.testing.assert_close(*results)


def test_the_average_follows_the_actor() -> None:
    model = make(FastSAC, learning_starts=30, batch_size=8)
    start = model.average["mu.weight"].clone()
    model.learn(30, log_interval=1000)
    model.train(gradient_steps=1, batch_size=8)
    now = model.actor.mu.weight.detach()
    assert not torch.equal(now, start)
    torch.testing.assert_close(model.average["mu.weight"], 0.9 * start + 0.1 * now)
