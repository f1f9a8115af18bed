"""Environments in worker processes: the same as in this one, and errors that say what happened."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pytest
from drqv2_fixtures import block_env, broken_scene, buggy_scene, dying_scene

from samg_ros.errors import ConfigError, SimulationError
from sim_bridge import make, make_vector
from sim_bridge.envs.env import Observation, SamgEnv
from sim_bridge.envs.vector import begin, task_spec_of, vectorize

LOOK = {"camera_size": 48, "size": 32, "masks": "oracle+noise"}


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    before = set(multiprocessing.active_children())
    yield
    assert set(multiprocessing.active_children()) == before


def alone(env: SamgEnv, seed: int, actions: np.ndarray) -> list[tuple[Observation, float]]:
    """Observation and reward after the reset and after every action, in this process."""
    seen = [(env.reset(seed=seed)[0], 0.0)]
    seen += [env.step(action)[:2] for action in actions]
    env.close()
    return seen


def check_same(expected: tuple[Observation, float], seen: Observation, index: int) -> None:
    for key, value in expected[0].items():
        np.testing.assert_array_equal(value, seen[key][index], key)


@pytest.mark.parametrize("task", ["cartpole_swingup", "adroit_door"])
def test_workers_give_what_this_process_gives(task: str) -> None:
    envs = make_vector(task, 2, perturb="noise", **LOOK)
    try:
        spec = task_spec_of(envs)
        assert spec.name == task
        rng = np.random.default_rng(0)
        actions = rng.uniform(-1, 1, (2, 6, spec.action_size)).astype(np.float32)
        expected = [alone(make(task, perturb="noise", **LOOK), s, actions[s]) for s in (0, 1)]
        seen, _ = envs.reset(seed=[0, 1])
        for step in range(7):
            for index in (0, 1):
                check_same(expected[index][step], seen, index)
            if step < 6:
                seen, rewards, *_ = envs.step(actions[:, step])
                assert [e[step + 1][1] for e in expected] == list(rewards)
        # The second one begins the first one's episode; the first stays where it is.
        seen, infos = begin(envs, [None, 0])
        check_same(expected[0][6], seen, 0)
        check_same(expected[0][0], seen, 1)
        assert list(infos["_success"]) == [False, True]
    finally:
        envs.close()


def test_one_copy_can_be_in_this_process() -> None:
    envs = make_vector("cartpole_balance", 0, keys=("state",), camera_size=16, size=16)
    before = envs.reset(seed=[4])[0]["state"]
    assert before.shape == (1, 5) and not multiprocessing.active_children()
    envs.step(np.ones((1, 1)))
    np.testing.assert_array_equal(begin(envs, [4])[0]["state"], before)
    envs.close()


def test_an_ended_copy_waits_for_the_others() -> None:
    envs = vectorize([partial(block_env, keys=("state",))] * 2)
    envs.reset(seed=[0, 1])
    for _ in range(10):
        envs.step(np.ones((2, 1)))
    begin(envs, [None, 2])
    for _ in range(10):
        seen, _, _, truncated, _ = envs.step(np.zeros((2, 1)))
    assert list(truncated) == [True, False]
    later, rewards, _, truncated, _ = envs.step(np.full((2, 1), -1.0))
    assert list(truncated) == [True, False] and rewards[0] == 0 < rewards[1]
    assert later["state"][0] == seen["state"][0] and later["state"][1] != seen["state"][1]
    envs.close()


def test_what_is_asked_for_runs_while_the_caller_works() -> None:
    envs = vectorize([block_env] * 2)
    envs.reset(seed=[0, 1])
    envs.step_async(np.ones((2, 1)))  # type: ignore[attr-defined]
    _, rewards, *_ = envs.step_wait()  # type: ignore[attr-defined]
    assert (rewards > 0).any()
    envs.close()


def test_without_a_copy_an_observation_is_overwritten() -> None:
    envs = vectorize([partial(block_env, keys=("rgb",))], copy=False)
    first, _ = envs.reset(seed=[0])
    kept = first["rgb"].copy()
    second, *_ = envs.step(np.ones((1, 1)))
    assert np.shares_memory(first["rgb"], second["rgb"]) and (kept != second["rgb"]).any()
    envs.close()


def test_a_dead_worker_is_named_and_ends_the_vector() -> None:
    envs = vectorize([block_env, partial(block_env, dying_scene)])
    envs.reset(seed=[0, 1])
    envs.step(np.zeros((2, 1)))
    envs.step(np.zeros((2, 1)))
    with pytest.raises(SimulationError, match=r"^environment 1 of 2: .*died \(exit code 7\)$"):
        envs.step(np.zeros((2, 1)))
    assert envs.closed
    envs.close()


def test_a_killed_worker_is_named() -> None:
    envs = vectorize([block_env] * 2)
    envs.processes[1].kill()  # type: ignore[attr-defined]
    with pytest.raises(SimulationError, match=r"environment 1 of 2.*\(exit code -9\).*memory"):
        envs.reset(seed=[0, 1])
    assert envs.closed


class FailingEnv(SamgEnv):
    """Cannot be reset a second time, by an error of ours or of anybody's."""

    kind: type[Exception] = SimulationError

    def reset(self, **about):
        if self._last is not None:
            raise self.kind("no such clip")
        return super().reset(**about)


class BuggyEnv(FailingEnv):
    kind = KeyError


def failing(cls: type[SamgEnv]) -> SamgEnv:
    whole = block_env()
    return cls(whole.scene, whole._config)


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (FailingEnv, r"^environment 0 of 1: no such clip$"),
        (BuggyEnv, r"^environment 0 of 1: its worker failed:\n(.|\n)*KeyError: 'no such clip'"),
    ],
)
def test_an_error_in_a_worker_is_told_once(
    cls: type[SamgEnv], message: str, capfd: pytest.CaptureFixture
) -> None:
    envs = vectorize([partial(failing, cls)])
    envs.reset(seed=[0])
    with pytest.raises(SimulationError, match=message):
        envs.reset(seed=[1])
    assert envs.closed and "no such clip" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("make_scene", "kind"), [(broken_scene, SimulationError), (buggy_scene, KeyError)]
)
def test_an_environment_that_cannot_be_made_says_why(
    make_scene: Callable, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match=r"no such world|a bug"):
        vectorize([partial(block_env, make_scene)])


def dies_in_a_worker(main: int) -> SamgEnv:
    import os

    if os.getpid() != main:
        os._exit(3)
    return block_env()


def test_a_worker_that_dies_at_its_start_is_named() -> None:
    import os

    with pytest.raises(SimulationError, match=r"environment 0 of 1: .*\(exit code 3\)"):
        vectorize([partial(dies_in_a_worker, os.getpid())])


def test_workers_that_cannot_be_started_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    from multiprocessing.context import SpawnProcess

    start = SpawnProcess.start
    left = [True]

    def start_one(self: SpawnProcess) -> None:
        if not left:
            raise OSError(12, "Cannot allocate memory")
        left.pop()
        start(self)

    monkeypatch.setattr("sim_bridge.envs.vector._CLOSING_S", 0.1)
    monkeypatch.setattr(SpawnProcess, "start", start_one)
    with pytest.raises(SimulationError, match=r"^3 environments cannot be started: .*allocate"):
        vectorize([block_env] * 3)


def test_refused_orders_leave_the_vector_usable() -> None:
    envs = vectorize([partial(block_env, keys=("state",))])
    before, _ = envs.reset(seed=[0])
    for seed in (-1, 2**32):
        with pytest.raises(SimulationError, match="seed must be in"):
            envs.reset(seed=[seed])
    for bad in (np.full((1, 1), np.nan), np.zeros((2, 1)), np.zeros(1)):
        with pytest.raises(SimulationError, match=r"finite numbers of shape \(1, 1\), got"):
            envs.step(bad)
    after, *_ = envs.step(np.zeros((1, 1)))
    np.testing.assert_array_equal(before["state"], after["state"])
    envs.close()
    envs.close()


def test_nothing_to_make_and_bad_options_are_refused() -> None:
    with pytest.raises(SimulationError, match="at least one"):
        vectorize([])
    with pytest.raises(ConfigError, match="unknown option 'sise'"):
        make_vector("cartpole_balance", 2, sise=3)
