"""The one loop of episodes: what begins where, what is told, and the same figures as ever."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from drqv2_fixtures import EPISODE_STEPS, BlockTask, block_env, block_scene
from eval_fixtures import CenteringPolicy

from policies.episode import Cell, Episode
from policies.registry import load_policy
from policies.rollout import (
    PolicyDriver,
    StackDriver,
    StateDriver,
    evaluate,
    evaluate_policy,
    evaluate_states,
    rollout,
)
from sim_bridge.envs.env import EnvConfig, SamgEnv
from sim_bridge.envs.vector import VectorEnv, borrowed, vectorize
from sim_bridge.scenes.scene import Scene, make_scene
from sim_bridge.task import StepResult

SEEDS = (3, 1, 4, 15, 9)


def to_the_middle(state: np.ndarray) -> np.ndarray:
    return -state


def states(count: int) -> VectorEnv:
    return vectorize([partial(block_env, keys=("state",))] * count, workers=count > 1)


class SucceedingTask(BlockTask):
    """Its success is to be near the middle, which stays true."""

    def __init__(self) -> None:
        super().__init__()
        self.spec = replace(self.spec, tells_success=True)

    def reset(self, seed: int) -> StepResult:
        self._near = False
        return super().reset(seed)

    def _result(self, reward: float) -> StepResult:
        self._near = self._near or abs(self._place) < 0.1
        return replace(super()._result(reward), success=self._near)


@pytest.fixture(scope="module")
def pair() -> Iterator[VectorEnv]:
    with closing(states(2)) as envs:
        yield envs


def test_results_are_in_the_order_of_the_seeds_however_many_copies(pair: VectorEnv) -> None:
    driver = StateDriver(to_the_middle)
    together = evaluate(driver, pair, SEEDS)
    assert [episode.seed for episode in together.episodes] == list(SEEDS)
    assert {episode.steps for episode in together.episodes} == {EPISODE_STEPS}
    assert {episode.success for episode in together.episodes} == {None}
    assert together == evaluate_states(to_the_middle, BlockTask(), SEEDS)
    assert evaluate(driver, pair, SEEDS[:1]).episodes == together.episodes[:1]
    assert evaluate(driver, pair, ()).episodes == ()


def test_an_episode_begins_where_one_has_ended(pair: VectorEnv) -> None:
    begun: list[tuple[int, int]] = []

    class Watching(StateDriver):
        def begin(self, place: int, episode: Episode) -> None:
            begun.append((place, episode.seed))

    cell = Cell(task="toy")
    found = list(rollout(Watching(to_the_middle), pair, [Episode(cell, s) for s in SEEDS]))
    assert begun == [(0, 3), (1, 1), (0, 4), (1, 15), (0, 9)]
    assert [(place, record.seed) for place, record in found] == begun
    assert {record.cell for _, record in found} == {cell}


@pytest.mark.parametrize("stops", [True, False])
def test_an_episode_ends_with_its_success_whether_or_not_the_copy_does(stops: bool) -> None:
    def make() -> SamgEnv:
        return block_env(lambda: Scene(SucceedingTask()), keys=("state",), stop_on_success=stops)

    with closing(vectorize([make], workers=False)) as envs:
        results = evaluate(StateDriver(to_the_middle), envs, SEEDS)
        never = evaluate(StateDriver(lambda state: np.sign(state)), envs, SEEDS[:1])
    assert results.success_rate == 1 and never.success_rate == 0
    assert max(e.steps for e in results.episodes) < EPISODE_STEPS == never.episodes[0].steps
    assert results.episodes[0].success_step == results.episodes[0].steps


def test_each_place_has_a_policy_of_its_own() -> None:
    alone = evaluate_policy(CenteringPolicy(), block_scene(), "oracle", SEEDS)
    with closing(vectorize([partial(block_env, masks="oracle")] * 2)) as envs:
        together = evaluate(PolicyDriver(CenteringPolicy(), 2), envs, SEEDS)
    assert together == alone
    assert len({episode.episode_return for episode in alone.episodes}) == len(SEEDS)


def test_stacks_begin_with_their_episode() -> None:
    shown: list[torch.Tensor] = []

    def act(stacks: torch.Tensor) -> torch.Tensor:
        shown.append(stacks.clone())
        return torch.zeros(len(stacks), 1)

    def pictures(rgb: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(rgb).permute(0, 3, 1, 2)

    with closing(vectorize([partial(block_env, keys=("rgb",))] * 2)) as envs:
        evaluate(StackDriver(act, pictures, 3), envs, SEEDS[:3])
    assert [len(stacks) for stacks in shown] == [2] * EPISODE_STEPS + [1] * EPISODE_STEPS
    assert all(stacks.shape[1:] == (9, 32, 32) for stacks in shown)
    for first in (shown[0], shown[EPISODE_STEPS]):
        assert torch.equal(first[:, :3], first[:, 3:6]) and torch.equal(first[:, :3], first[:, 6:])
    assert torch.equal(shown[1][:, :6], shown[0][:, 3:])
    assert not torch.equal(shown[EPISODE_STEPS][0, :3], shown[EPISODE_STEPS - 1][0, :3])


def test_a_borrowed_scene_stays_open() -> None:
    scene = make_scene("cartpole_balance", height=84, width=84)
    envs = borrowed(scene, EnvConfig(keys=("rgb",), camera_size=84))
    seen, _ = envs.reset(seed=[0])
    envs.close()
    np.testing.assert_array_equal(scene.observe().rgb, seen["rgb"][0])
    scene.close()


# What `samg demo --mask oracle` gave through the nodes before environments were Gymnasium's.
DEMO = {0: (True, 27, 73.97890827002205), 1: (True, 28, 95.90604510103373)}


@pytest.mark.slow
def test_the_door_s_student_does_what_it_always_did() -> None:
    scene = make_scene("adroit_door", height=256, width=256, perturb="photos")
    results = evaluate_policy(load_policy("student", "adroit_door"), scene, "oracle", DEMO)
    scene.close()
    found = {e.seed: (e.success, e.steps, e.episode_return) for e in results.episodes}
    for seed, (success, steps, expected) in DEMO.items():
        assert found[seed][:2] == (success, steps)
        assert found[seed][2] == pytest.approx(expected, abs=0.05)
