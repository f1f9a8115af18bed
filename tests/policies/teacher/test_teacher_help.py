"""What helps a teacher to its first reward: reference starts and hints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("dm_control", reason="needs the [sim] extra")
pytest.importorskip("stable_baselines3", reason="needs the [train] extra")

from policies.teacher.config import SacConfig, TeacherConfig
from policies.teacher.sac import StateEnv, hint_for
from policies.teacher.train import train_teacher
from samg_ros.errors import ConfigError, SimulationError
from sim_bridge.experts.state import Normalizer
from sim_bridge.task import make_task

TASK = "hopper_stand"
STANDS = 0.6  # m; dm_control/suite/hopper.py, _STAND_HEIGHT


@pytest.fixture(scope="module")
def hopper() -> Iterator[Any]:
    task = make_task(TASK, height=16, width=16)
    yield task
    task.close()


def environment(task: Any, **config: Any) -> StateEnv:
    size = len(task.reset(0).state)
    plain = Normalizer(mean=(0.0,) * size, std=(1.0,) * size)
    return StateEnv(task, plain, 0, SacConfig(**config))


def height(task: Any) -> float:
    """Of the torso over the foot, m."""
    return task.data.body("torso").xipos[2] - task.data.body("foot").xipos[2]


def test_near_its_reference_a_hopper_stands_and_is_rewarded(hopper: Any) -> None:
    for seed in range(5):
        hopper.reset_near_reference(seed)
        assert height(hopper) > STANDS
        assert hopper.step(np.zeros(4)).reward > 1.5


def test_reference_starts_follow_from_the_seed_alone(hopper: Any) -> None:
    first = hopper.reset_near_reference(3).state
    assert not np.array_equal(first, hopper.reset_near_reference(4).state)
    hopper.step(np.ones(4))
    np.testing.assert_array_equal(first, hopper.reset_near_reference(3).state)


def test_an_episode_near_the_reference_is_as_long_as_any(hopper: Any) -> None:
    result = hopper.reset_near_reference(0)
    while not result.done:
        result = hopper.step(np.zeros(4))
    assert result.step == hopper.spec.episode_steps
    with pytest.raises(SimulationError, match="reset"):
        hopper.step(np.zeros(4))


def test_a_bad_seed_is_refused_near_the_reference_too(hopper: Any) -> None:
    with pytest.raises(SimulationError, match="seed"):
        hopper.reset_near_reference(-1)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_the_share_of_episodes_that_begin_near_the_reference(hopper: Any, share: float) -> None:
    env = environment(hopper, reference_share=share)
    near = 0
    for _ in range(60):
        env.reset()
        near += np.abs(hopper.joint_state().position).max() < 0.5
    if share in (0, 1):
        assert near == 60 * share
    else:
        assert 12 <= near <= 36  # binomial of 60, 0.4: beyond with probability 0.003


def test_the_hint_is_the_share_of_the_height_that_is_rewarded(hopper: Any) -> None:
    hint = hint_for(TASK)
    seen = []
    for seed in range(20):
        hopper.reset(seed)
        seen.append(hint(hopper.data))
        assert seen[-1] == pytest.approx(np.clip(height(hopper) / STANDS, 0, 1))
    assert min(seen) < 0.5 < max(seen)


def test_the_hint_is_added_to_every_reward(hopper: Any) -> None:
    action = np.zeros(4, np.float32)
    plain, helped = environment(hopper), environment(hopper, hint=0.25)
    plain.reset()
    reward = [plain.step(action)[1] for _ in range(5)]
    helped.reset()
    for before in reward:
        after = helped.step(action)[1]
        assert after - before == pytest.approx(0.25 * hint_for(TASK)(hopper.data))


def test_a_hint_that_a_task_lacks_is_refused_before_a_folder_is_made(tmp_path: Path) -> None:
    config = TeacherConfig(runs=tmp_path / "runs", sac=SacConfig(hint=0.5))
    with pytest.raises(ConfigError, match=r"no hint.*--sac\.hint.*hopper_hop, hopper_stand"):
        train_teacher("walker_walk", config, lambda *_: None)
    assert not (tmp_path / "runs").exists()


def test_tasks_without_a_reference_are_refused_before_a_folder_is_made(tmp_path: Path) -> None:
    config = TeacherConfig(runs=tmp_path / "runs", sac=SacConfig(reference_share=0.5))
    with pytest.raises(ConfigError, match=r"arm_lift_peg_upright cannot.*reference-share"):
        train_teacher("arm_lift_peg_upright", config, lambda *_: None)
    assert not (tmp_path / "runs").exists()
