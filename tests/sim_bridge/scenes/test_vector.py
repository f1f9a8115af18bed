"""Scenes in worker processes: the same as in this one, and errors that say what happened."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from drqv2_fixtures import SIZE, block_scene, broken_scene, buggy_scene, dying_scene

from samg_ros.errors import SimulationError
from sim_bridge.scenes.scene import Scene, make_scene
from sim_bridge.scenes.vector import CopyState, VectorScenes
from sim_bridge.scenes.views import (
    NoisyMasks,
    OracleMasks,
    RawImages,
    View,
    WorkerView,
    make_mask_source,
    plain_scene,
)

TOY = {"height": SIZE, "width": SIZE}


def alone(
    make_scene: Callable[[], Scene], view: View, seed: int, actions: np.ndarray
) -> list[tuple[np.ndarray, float, np.ndarray]]:
    """Picture, reward and state after the reset and after every action, in this process."""
    scene = make_scene()
    view.reset(seed)
    result = scene.reset(seed)
    seen = [(view(scene.observe()).copy(), result.reward, result.state)]
    for action in actions:
        result = scene.act(action)
        seen.append((view(scene.observe()).copy(), result.reward, result.state))
    scene.close()
    return seen


def check_same(
    expected: tuple[np.ndarray, float, np.ndarray], picture: np.ndarray, state: CopyState | None
) -> None:
    assert state is not None and state.result.reward == expected[1]
    np.testing.assert_array_equal(picture, expected[0])
    np.testing.assert_array_equal(state.result.state, expected[2])


@pytest.mark.parametrize("task", ["cartpole_swingup", "adroit_door"])
def test_workers_give_what_this_process_gives(task: str) -> None:
    make, view = partial(plain_scene, task, 48), partial(WorkerView, "oracle", 32)
    rng = np.random.default_rng(0)
    with VectorScenes([make, make], view, height=32, width=32) as scenes:
        size = scenes.spec.action_size
        actions = rng.uniform(-1, 1, (2, 6, size)).astype(np.float32)
        expected = [alone(make, view(), seed, actions[seed]) for seed in (0, 1)]
        states = scenes.reset([0, 1])
        for step in range(7):
            for index in (0, 1):
                check_same(expected[index][step], scenes.pictures[index], states[index])
            if step < 6:
                states = scenes.step(list(actions[:, step]))
        assert scenes.pictures.any() and scenes.spec.name == task
        # Elsewhere for a while, then back into the middle of the second episode.
        scenes.reset([7, 8])
        scenes.step([np.zeros(size), np.ones(size)])
        states = scenes.replay([None, (1, actions[1, :4])])
        assert states[0] is None
        check_same(expected[1][4], scenes.pictures[1], states[1])
        states = scenes.step([None, actions[1, 4]])
        check_same(expected[1][5], scenes.pictures[1], states[1])
        assert states[1] is not None and states[1].joints.position.size == len(
            scenes.spec.joint_names
        )


def test_a_view_with_a_history_is_replayed_too() -> None:
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (12, 1))
    expected = alone(block_scene, make_mask_source("oracle+noise"), 3, actions)
    with VectorScenes([block_scene], NoisyMasks, **TOY) as scenes:
        states = scenes.replay([(3, actions[:11])])
        check_same(expected[11], scenes.pictures[0], states[0])
        states = scenes.step([actions[11]])
        check_same(expected[12], scenes.pictures[0], states[0])


def test_views_differ_and_pictures_are_read_only() -> None:
    with VectorScenes([block_scene], RawImages, **TOY) as raw:
        raw.reset([0])
        seen = raw.pictures.copy()
        with pytest.raises(ValueError, match="read-only"):
            raw.pictures[0] = 0
    with VectorScenes([block_scene], OracleMasks, **TOY) as masked:
        masked.reset([0])
        shown = masked.pictures.any(axis=-1)
        assert 0 < shown.sum() < seen.any(axis=-1).sum()
        np.testing.assert_array_equal(masked.pictures[shown], seen[shown])


def test_steps_and_resets_run_while_the_caller_works() -> None:
    with VectorScenes([block_scene, block_scene], OracleMasks, **TOY) as scenes:
        scenes.reset([0, 1])
        scenes.start(actions=[np.ones(1), None], seeds=[None, 5])
        with pytest.raises(SimulationError, match=r"still at work"):
            scenes.reset([0, 1])
        stepped, begun = scenes.finish()
        assert stepped and stepped.result.step == 1
        assert begun and begun.result.step == 0


def test_a_dead_worker_is_named_and_nothing_stays() -> None:
    before = set(multiprocessing.active_children())
    with VectorScenes([block_scene, dying_scene], OracleMasks, **TOY) as scenes:
        scenes.reset([0, 1])
        scenes.step([np.zeros(1)] * 2)
        scenes.step([np.zeros(1)] * 2)
        with pytest.raises(SimulationError, match=r"scene 1 of 2: .*died \(exit code 7\)$"):
            scenes.step([np.zeros(1)] * 2)
        # It stays dead; the other one is still there.
        with pytest.raises(SimulationError, match=r"scene 1 of 2: .*died"):
            scenes.reset([None, 0])
        (state, _) = scenes.step([np.zeros(1), None])
        assert state and state.result.step == 4
    assert set(multiprocessing.active_children()) == before


def test_a_killed_worker_is_named() -> None:
    before = set(multiprocessing.active_children())
    with VectorScenes([block_scene], OracleMasks, **TOY) as scenes:
        (worker,) = set(multiprocessing.active_children()) - before
        worker.kill()
        with pytest.raises(SimulationError, match=r"died \(exit code -9\).*memory"):
            scenes.reset([0])


@pytest.mark.parametrize(
    ("make_scene", "message"),
    [(broken_scene, "scene 0 of 1: no such world"), (buggy_scene, r"KeyError: 'a bug'")],
)
def test_a_scene_that_cannot_be_made_says_why(
    make_scene: Callable[[], Scene], message: str
) -> None:
    before = set(multiprocessing.active_children())
    with pytest.raises(SimulationError, match=message):
        VectorScenes([make_scene], OracleMasks, **TOY)
    assert set(multiprocessing.active_children()) == before


def test_a_bad_seed_is_refused_before_a_perturbation_draws_from_it() -> None:
    make = partial(make_scene, "cartpole_balance", height=32, width=32, perturb="noise")
    with VectorScenes([make], OracleMasks, **TOY) as scenes:
        for seed in (-1, 2**32):
            with pytest.raises(SimulationError, match="seed must be in"):
                scenes.reset([seed])
        (state,) = scenes.reset([0])
        assert state and state.result.step == 0


def test_refused_orders_leave_the_scenes_usable() -> None:
    with VectorScenes([block_scene], OracleMasks, **TOY) as scenes:
        with pytest.raises(SimulationError, match="a bad command"):
            scenes.reset([0])
            scenes.step([np.full(1, np.nan)])
        with pytest.raises(SimulationError, match="1 scenes were given 2 commands"):
            scenes.reset([0, 1])
        (state,) = scenes.step([np.ones(1)])
        assert state and state.result.step == 1
    scenes.close()  # a second time
    with (
        VectorScenes([block_scene], OracleMasks, height=8, width=8) as wrong,
        pytest.raises(SimulationError, match=r"\(32, 32, 3\).*\(8, 8, 3\)"),
    ):
        wrong.reset([0])
    with pytest.raises(SimulationError, match="at least one scene"):
        VectorScenes([], OracleMasks, **TOY)
