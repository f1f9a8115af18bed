"""DrQ-v2 on a task of DMControl, from pictures to balance: the longest test, some minutes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from drqv2_fixtures import random_return

from policies.drqv2.config import DrQV2Config
from policies.drqv2.run import train_drqv2
from policies.training.curves import read_curves

pytest.importorskip("sim_bridge.render.renderer", reason="needs the [sim] extra")
pytest.importorskip("dm_control", reason="needs the [sim] extra")

from sim_bridge.task import make_task

TASK = "cartpole_balance"
FRAMES = 20_000

# Small pictures and networks, an update each control step and a short horizon: on one core the
# publication's configuration would take days.
SMOKE = DrQV2Config(
    mask="oracle",
    frames=FRAMES,
    environments=1,
    camera_size=80,
    image_size=40,
    batch_size=64,
    learning_rate=3e-4,
    discount=0.97,
    channels=16,
    features=32,
    hidden=256,
    shift_pad=1,
    seed_frames=2000,
    stddev_steps=3000,
    update_every=1,
    evaluate_every=FRAMES // 2,
    evaluation_episodes=5,
    score_episodes=0,
    checkpoint_every=FRAMES,
    device="cpu",
    threads=1,
    tensorboard=False,
)


@pytest.mark.slow
def test_cartpole_learns_to_balance(tmp_path: Path) -> None:
    task = make_task(TASK, height=16, width=16)
    chance = random_return(task, 20)
    task.close()
    folder = train_drqv2(TASK, replace(SMOKE, runs=tmp_path), lambda *_: None).parent
    frames, returns = read_curves(folder)["evaluation/episode_return"]
    assert frames == [FRAMES // 2, FRAMES]
    # An agent that has not learnt pushes to one side all the time, and reaches less than chance.
    assert 250 < chance < 380
    assert returns[-1] > chance + 60, (chance, returns)
