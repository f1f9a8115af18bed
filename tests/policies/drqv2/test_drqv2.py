"""DrQ-v2 piece by piece, against plain renderings of what the publication says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from policies.drqv2.agent import METRICS, DrQV2Agent, noisy
from policies.drqv2.config import DrQV2Config
from policies.drqv2.networks import Critic, DrQV2Net
from policies.drqv2.replay import Replay, ReplayBatch
from policies.networks import cropped, gathered, random_offsets, shift
from samg_ros.errors import ConfigError

CPU = torch.device("cpu")
SMALL = DrQV2Config(
    camera_size=32, image_size=32, channels=4, features=8, hidden=16, batch_size=8, shift_pad=2
)
ACTIONS = 2


def batch(size: int = 8, seed: int = 0) -> ReplayBatch:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (2, size, 9, 32, 32), generator=generator).to(torch.uint8)
    return ReplayBatch(
        images=images[0],
        actions=torch.rand(size, ACTIONS, generator=generator) * 2 - 1,
        returns=torch.rand(size, generator=generator),
        next_images=images[1],
        discount=0.97,
    )


class TestAugmentation:
    @pytest.mark.parametrize("shift", [shift, cropped, gathered])
    def test_is_padding_by_replication_and_a_random_crop(self, shift) -> None:
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(256, (16, 9, 20, 24), generator=generator).to(torch.uint8)
        offsets = random_offsets(16, 4, generator)
        shifted = shift(images, offsets)
        assert shifted.dtype == torch.uint8
        padded = F.pad(images.float(), (4, 4, 4, 4), mode="replicate")
        for image, (dy, dx), result in zip(padded, offsets.tolist(), shifted, strict=True):
            crop = image[:, 4 + dy : 24 + dy, 4 + dx : 28 + dx]
            assert torch.equal(crop, result.float())

    def test_offsets_take_every_value_and_no_other(self) -> None:
        offsets = random_offsets(4000, 4, torch.Generator().manual_seed(0))
        assert set(offsets.flatten().tolist()) == set(range(-4, 5))
        counts = torch.bincount(offsets.flatten() + 4).float()
        assert counts.min() > 0.8 * counts.mean()
        assert not random_offsets(9, 0, torch.Generator()).any()


class TestNetworks:
    def test_sizes_are_the_publications(self) -> None:
        config = DrQV2Config().network(6)
        assert config.encoded == 32 * 35 * 35
        net, critic = DrQV2Net(config), Critic(config)

        def count(module: torch.nn.Module) -> int:
            return sum(p.numel() for p in module.parameters())

        trunk = 39200 * 50 + 50 + 100
        assert count(net.encoder) == 9 * 9 * 32 + 3 * 9 * 32 * 32 + 4 * 32
        assert count(net.actor) == trunk + 51 * 1024 + 1025 * 1024 + 1025 * 6
        assert count(critic) == trunk + 2 * (57 * 1024 + 1025 * 1024 + 1025)

    def test_weights_are_orthogonal(self) -> None:
        net = DrQV2Net(SMALL.network(ACTIONS))
        weight = net.actor.trunk[0].weight.detach()
        torch.testing.assert_close(weight @ weight.T, torch.eye(8), atol=1e-5, rtol=0)
        filters = net.encoder.layers[0].weight.detach().flatten(1)
        torch.testing.assert_close(filters @ filters.T, 2 * torch.eye(4), atol=1e-5, rtol=0)
        assert not any(p.any() for name, p in net.named_parameters() if name.endswith("0.bias"))

    def test_pictures_are_scaled_to_half_a_unit_around_zero(self) -> None:
        encoder = DrQV2Net(SMALL.network(ACTIONS)).encoder
        images = batch().images
        expected = encoder.layers(images.float() / 255 - 0.5)
        torch.testing.assert_close(encoder(images), expected)


class TestAgent:
    def test_noise_is_cut_off_forwards_and_not_backwards(self) -> None:
        mean = torch.tensor([[0.9, -0.2]], requires_grad=True)
        action = noisy(mean, torch.tensor([[0.3, 0.1]]))
        torch.testing.assert_close(action, torch.tensor([[1 - 1e-6, -0.1]]))
        action.sum().backward()
        assert mean.grad is not None and mean.grad.tolist() == [[1.0, 1.0]]

    def test_critic_loss_is_the_publications(self) -> None:
        agent, data = DrQV2Agent(SMALL, ACTIONS, CPU), batch()
        noise = torch.full((8, ACTIONS), 0.05)
        loss, value, encoded = agent._critic_loss_of(
            data.images, data.actions, data.returns, data.next_images, noise, data.discount
        )
        with torch.no_grad():
            h, next_h = agent.net.encoder(data.images), agent.net.encoder(data.next_images)
            next_action = (agent.net.actor(next_h) + noise).clamp(-1, 1)
            goal = data.returns + 0.97 * torch.stack(agent._target(next_h, next_action)).amin(0)
            both = agent._critic(h, data.actions)
            expected = sum(((q - goal) ** 2).mean() for q in both)
        torch.testing.assert_close(loss.detach(), expected)
        torch.testing.assert_close(value.detach(), both[0].mean())
        torch.testing.assert_close(encoded.detach(), h)

    def test_the_encoder_learns_from_the_critic_alone(self) -> None:
        # Without a learning critic nothing but the actor may move.
        agent = DrQV2Agent(SMALL, ACTIONS, CPU)
        agent._critic_optimizer.param_groups[0]["lr"] = 0.0
        before = {name: p.clone() for name, p in agent.net.named_parameters()}
        critic = [p.clone() for p in agent._critic.parameters()]
        agent.update(batch(), 0.5)
        moved = {n for n, p in agent.net.named_parameters() if not torch.equal(p, before[n])}
        assert moved and all(name.startswith("actor.") for name in moved)
        assert all(
            torch.equal(a, b) for a, b in zip(critic, agent._critic.parameters(), strict=True)
        )
        # With one, the encoder moves too.
        agent = DrQV2Agent(SMALL, ACTIONS, CPU)
        agent.update(batch(), 0.5)
        assert not torch.equal(
            agent.net.encoder.layers[0].weight, before["encoder.layers.0.weight"]
        )

    def test_the_target_follows_by_tau(self) -> None:
        agent = DrQV2Agent(replace(SMALL, target_tau=0.25), ACTIONS, CPU)
        before = [p.clone() for p in agent._target.parameters()]
        agent.update(batch(), 0.5)
        pairs = zip(agent._target.parameters(), agent._critic.parameters(), strict=True)
        for old, (target, source) in zip(before, pairs, strict=True):
            torch.testing.assert_close(target, 0.75 * old + 0.25 * source.detach())

    def test_losses_fall_on_a_fixed_batch(self) -> None:
        agent = DrQV2Agent(replace(SMALL, learning_rate=1e-3), ACTIONS, CPU)
        told = torch.stack([agent.update(batch(), 0.1) for _ in range(60)])
        critic = told[:, METRICS.index("critic_loss")]
        assert critic[-10:].mean() < 0.5 * critic[:10].mean()
        returns = told[:, METRICS.index("n_step_return")]
        torch.testing.assert_close(returns[0], batch().returns.mean())

    def test_noise_of_updates_is_clipped_and_that_of_acting_is_not(self) -> None:
        agent = DrQV2Agent(SMALL, ACTIONS, CPU)
        assert agent._clipped_noise(1.0, 500).abs().max() == torch.tensor(0.3)
        images = batch(64).images
        assert agent.explore(images, 1.0).abs().max() > 0.9
        assert torch.equal(agent.act(images), agent.explore(images, 0.0))
        assert agent.random_actions(400).abs().max() <= 1
        assert agent.random_actions(400).std() > 0.5

    def test_saved_and_loaded_it_goes_on_alike(self) -> None:
        first, second = (DrQV2Agent(replace(SMALL, seed=s), ACTIONS, CPU) for s in (0, 1))
        first.update(batch(), 0.5)
        second.load_state_dict(first.state_dict())
        for agent in (first, second):
            agent.told = torch.stack([agent.update(batch(seed=s), 0.5) for s in range(3)])
        assert torch.equal(first.told, second.told)
        assert torch.equal(first.random_actions(3), second.random_actions(3))

    def test_compiled_losses_are_the_same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # Traced and run as it is: generating code would take a minute.
        compile_ = torch.compile
        monkeypatch.setattr(torch, "compile", lambda f: compile_(f, backend="eager"))
        plain = DrQV2Agent(SMALL, ACTIONS, CPU)
        compiled = DrQV2Agent(replace(SMALL, compile=True), ACTIONS, CPU)
        for seed, stddev in enumerate((1.0, 0.7, 0.4)):
            expected, got = (a.update(batch(seed=seed), stddev) for a in (plain, compiled))
            torch.testing.assert_close(got, expected)


class TestConfig:
    def test_defaults_are_the_publications(self) -> None:
        config = DrQV2Config()
        assert (config.batch_size, config.n_step, config.frame_stack) == (256, 3, 3)
        assert (config.features, config.hidden, config.channels) == (50, 1024, 32)
        assert (config.learning_rate, config.target_tau, config.discount) == (1e-4, 0.01, 0.99)
        assert (config.shift_pad, config.stddev_clip, config.update_every) == (4, 0.3, 2)
        assert (config.replay_capacity, config.seed_frames) == (1_000_000, 4000)

    def test_noise_falls_linearly_and_stays(self) -> None:
        config = DrQV2Config()
        assert config.stddev(0) == 1.0 and config.stddev(50_000) == pytest.approx(0.55)
        assert config.stddev(100_000) == config.stddev(10**9) == pytest.approx(0.1)

    def test_contradictions_are_refused(self) -> None:
        with pytest.raises(ConfigError, match="only ever shrunk"):
            DrQV2Config(camera_size=64)
        with pytest.raises(ConfigError, match="--mask samg only"):
            DrQV2Config(reference=Path("door.npz"))
        with pytest.raises(ConfigError, match="choose one of: none, oracle, samg"):
            DrQV2Config(mask="black")


class TestReplay:
    """Every frame tells where it comes from: its bytes are environment, episode and age."""

    N, STACK, STEPS, GAMMA = 3, 3, 2, 0.9

    def make(self, capacity: int) -> Replay:
        return Replay(
            capacity=capacity,
            environments=self.N,
            image_size=4,
            action_size=1,
            frame_stack=self.STACK,
            n_step=self.STEPS,
            discount=self.GAMMA,
            device=CPU,
        )

    def fill(self, replay: Replay, ticks: int, start: int = 0) -> None:
        """Episodes of 5, 6 and 7 steps in the three environments."""
        for tick in range(start, ticks):
            ages = np.array([tick % (6 + n) for n in range(self.N)])
            episodes = np.array([tick // (6 + n) for n in range(self.N)])
            frames = torch.zeros(self.N, 3, 4, 4, dtype=torch.uint8)
            for n in range(self.N):
                frames[n, 0], frames[n, 1], frames[n, 2] = n, int(episodes[n]), int(ages[n])
            actions = (
                torch.tensor(ages, dtype=torch.float32)[:, None] / 10 + torch.arange(3)[:, None]
            )
            replay.add(frames, actions, 100.0 * episodes + ages, ages)

    @pytest.mark.parametrize(("capacity", "ticks"), [(300, 40), (60, 20), (60, 21), (60, 99)])
    def test_samples_are_what_happened(self, capacity: int, ticks: int) -> None:
        replay = self.make(capacity)
        self.fill(replay, ticks)
        got = replay.sample(400, np.random.default_rng(0))
        assert got.images.shape == (400, 9, 4, 4) and got.discount == pytest.approx(0.81)
        seen = set()
        for i in range(400):
            stack = got.images[i, :, 0, 0].view(3, 3).tolist()
            n, episode, age = stack[-1]
            seen.add((n, episode, age))
            assert stack == [[n, episode, max(age - back, 0)] for back in (2, 1, 0)]
            after = got.next_images[i, :, 0, 0].view(3, 3).tolist()
            assert after == [[n, episode, max(age + 2 - back, 0)] for back in (2, 1, 0)]
            assert got.actions[i].item() == pytest.approx(n + (age + 1) / 10)
            first, second = 100 * episode + age + 1, 100 * episode + age + 2
            assert got.returns[i].item() == pytest.approx(first + 0.9 * second)
        assert seen == self.possible(capacity // self.N, ticks)

    def possible(self, rows: int, ticks: int) -> set[tuple[int, int, int]]:
        """Transitions whose stack and n steps are all in the ring and in one episode."""
        there, found = range(max(0, ticks - rows), ticks), set()
        for n in range(self.N):
            for tick in there:
                age, length = tick % (6 + n), 5 + n
                oldest = tick - min(age, self.STACK - 1)
                if oldest in there and age + self.STEPS <= length and tick + self.STEPS in there:
                    found.add((n, tick // (6 + n), age))
        return found

    def test_the_latest_stack(self) -> None:
        replay = self.make(60)
        self.fill(replay, 45)
        for n in range(self.N):
            age, episode = 44 % (6 + n), 44 // (6 + n)
            stack = replay.latest()[n, :, 0, 0].view(3, 3).tolist()
            assert stack == [[n, episode, max(age - back, 0)] for back in (2, 1, 0)]

    def test_rows_that_were_put_back_go_on_alike(self) -> None:
        whole, copy = self.make(60), self.make(60)
        self.fill(whole, 50)
        copy.restore(30, whole.rows(30, 42))
        copy.restore(42, whole.rows(42, 50))
        assert copy.ticks == whole.ticks == 50 and copy.oldest == 30
        for replay in (whole, copy):
            self.fill(replay, 55, start=50)
        ours, theirs = (r.sample(50, np.random.default_rng(1)) for r in (whole, copy))
        assert torch.equal(ours.images, theirs.images)
        assert torch.equal(ours.returns, theirs.returns)

    def test_memory_is_told_and_checked(self) -> None:
        assert self.make(60).nbytes == 60 * 3 * 4 * 4
        with pytest.raises(ConfigError, match=r"take .* GB, cpu has"):
            Replay(
                capacity=10**9,
                environments=1,
                image_size=256,
                action_size=1,
                frame_stack=3,
                n_step=3,
                discount=0.99,
                device=CPU,
            )
