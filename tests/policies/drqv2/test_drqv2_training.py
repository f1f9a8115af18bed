"""A DrQ-v2 run from start to end on a toy: it learns, can be killed, and plays what it learnt."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from drqv2_fixtures import BlockTask, block_scene, random_return, smoke_config

from policies.drqv2.config import DrQV2Config
from policies.drqv2.policy import DrQV2Policy
from policies.drqv2.run import train_drqv2
from policies.drqv2.training import DrQV2Training
from policies.pictures import WorkerPictures
from policies.registry import load_policy
from policies.rollout import evaluate
from policies.training import EVALUATION_SEEDS
from policies.training.curves import FILE, read_curves
from policies.training.state_file import resumed
from samg_ros.errors import CheckpointError, ConfigError
from sim_bridge.scenes.vector import VectorScenes
from sim_bridge.scenes.views import WorkerView, make_mask_source
from sim_bridge.task import TaskSpec

TASK = "toy_block"
TESTS = Path(__file__).parents[2]

# Trains with the configuration that smoke_config gives, and kills itself at frame 500, between
# two checkpoints, in the middle of its episodes. Tells its workers' process ids before.
KILLED = """
import multiprocessing, os, signal, sys
from pathlib import Path
from drqv2_fixtures import block_scene, smoke_config
from policies.drqv2.run import train_drqv2

def report(frames, line):
    if frames >= 500:
        print(*(child.pid for child in multiprocessing.active_children()), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

train_drqv2("toy_block", smoke_config(Path(sys.argv[1])), report, block_scene)
"""


def train(config: DrQV2Config, lines: list[str] | None = None) -> Path:
    """:return: the run's folder."""
    told = [] if lines is None else lines
    path = train_drqv2(TASK, config, lambda _, line: told.append(line), block_scene)
    return path.parent


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short run that nobody disturbed."""
    return train(smoke_config(tmp_path_factory.mktemp("whole")))


def test_it_learns(tmp_path: Path) -> None:
    config = replace(
        smoke_config(tmp_path),
        frames=2000,
        seed_frames=400,
        batch_size=32,
        channels=8,
        features=16,
        hidden=64,
        stddev_steps=800,
        evaluate_every=500,
        evaluation_episodes=4,
        score_episodes=10,
        replay_capacity=2000,
    )
    lines: list[str] = []
    folder = train(config, lines)
    results = json.loads((folder / "results.json").read_text())
    reached = results["record"]["scores"]["oracle_return"]
    chance = random_return(BlockTask(), 100)
    assert chance < 10 and reached > chance + 5  # of 20
    assert any("evaluation: return" in line for line in lines)
    losses = read_curves(folder)["update/stddev"][1]
    assert losses == sorted(losses, reverse=True) and losses[-1] == pytest.approx(0.1)


def test_killed_and_resumed_equals_uninterrupted(whole: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    path = os.pathsep.join([str(TESTS / "fixtures"), str(TESTS.parent)])
    environment = os.environ | {"PYTHONPATH": path}
    killed = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    workers = [int(pid) for pid in killed.stdout.split()]
    assert len(workers) == 2
    wait_for_the_end_of(workers)
    (folder,) = tmp_path.iterdir()
    torn = (folder / FILE).read_bytes()
    expected = (whole / FILE).read_bytes()
    assert torn != expected
    # What a crash might leave: half a line, and rows that no checkpoint knows of.
    (folder / FILE).write_bytes(torn + b'{"kind": "upd')
    (folder / "replay" / "000000009999.npz").write_bytes(b"torn")

    assert train(resumed(DrQV2Config, folder)) == folder
    assert (folder / FILE).read_bytes() == expected
    assert not (folder / "replay" / "000000009999.npz").exists()
    ours, theirs = (DrQV2Policy.load(f / f"{TASK}.safetensors") for f in (folder, whole))
    for name, tensor in ours.network.state_dict().items():
        assert torch.equal(tensor, theirs.network.state_dict()[name]), name
    ours, theirs = (json.loads((f / "results.json").read_text()) for f in (folder, whole))
    assert ours["episodes"] == theirs["episodes"]
    assert ours["record"]["command"] == theirs["record"]["command"]
    last, same = (torch.load(f / "training.pt", weights_only=True) for f in (folder, whole))
    assert last["training"]["rng"] == same["training"]["rng"]


def wait_for_the_end_of(workers: list[int]) -> None:
    """Workers whose main process is gone end by themselves."""
    left = workers
    for _ in range(100):
        left = [pid for pid in left if is_running(pid)]
        if not left:
            return
        time.sleep(0.1)
    raise AssertionError(f"still running: {left}")


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # ended, but nobody asked for its exit status


def test_a_finished_run_can_be_prolonged_and_evaluations_disturb_nothing(
    whole: Path, tmp_path: Path
) -> None:
    config = replace(smoke_config(tmp_path), frames=500, evaluate_every=10**6, score_episodes=0)
    short = train(config)
    assert json.loads((short / "results.json").read_text())["record"]["scores"] == {}
    assert train(resumed(DrQV2Config, short, frames=700)) == short
    config = json.loads((short / "config.json").read_text())
    assert config["settings"]["frames"] == 700
    ours, theirs = (read_curves(folder) for folder in (short, whole))
    assert ours["evaluation/episode_return"][0] == [500, 700]
    assert ours["update/critic_loss"] == theirs["update/critic_loss"]
    assert ours["training/episode_return"] == theirs["training/episode_return"]


def test_a_run_that_is_done_stays_as_it_is(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(whole, folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    lines: list[str] = []
    assert train(resumed(DrQV2Config, folder), lines) == folder
    assert lines == ["nothing is left to train"]
    with pytest.raises(ConfigError, match="trained for 700 frames already, --frames asks for 400"):
        train(resumed(DrQV2Config, folder, frames=400))
    assert {path: path.read_bytes() for path in before} == before


def test_the_checkpoint_plays_as_it_was_scored(whole: Path) -> None:
    policy = load_policy(whole / f"{TASK}.safetensors", TASK)
    results = evaluate(policy, block_scene(), make_mask_source("oracle"), EVALUATION_SEEDS[:5])
    stored = json.loads((whole / "results.json").read_text())["episodes"]
    assert len(stored) == 5
    for episode, (index, expected) in zip(results.episodes, enumerate(stored), strict=True):
        assert episode.seed == expected["seed"] == EVALUATION_SEEDS[index]
        # One picture or several at a time round differently.
        assert episode.episode_return == pytest.approx(expected["episode_return"], abs=1e-3)
    assert policy.spec.task == TASK and policy.spec.frame_stack == 3
    assert policy.spec.mask == "targets"


def test_curves_and_tensorboard_say_the_same(whole: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    board = accumulator.EventAccumulator(str(whole / "tensorboard"))
    board.Reload()
    curves = read_curves(whole)
    assert {"training/episode_return", "evaluation/episode_return", "update/value"} <= set(curves)
    assert set(board.Tags()["scalars"]) == set(curves)
    for name, (frames, values) in curves.items():
        events = board.Scalars(name)
        assert [event.step for event in events] == frames
        np.testing.assert_allclose([event.value for event in events], values, rtol=1e-6)
    assert (whole / "curve.png").stat().st_size > 1000
    # 700 frames are 350 steps of 2 environments, in episodes of 20, two at a time.
    assert curves["training/episode_return"][0] == [80 * i for i in range(1, 9) for _ in "ab"]
    assert curves["evaluation/episode_return"][0] == [252, 500, 700]


def test_updates_keep_their_share_whatever_the_number_of_environments(tmp_path: Path) -> None:
    config = replace(smoke_config(tmp_path), environments=3, seed_frames=60, update_every=2)
    view = partial(WorkerView, "oracle", 32)
    with VectorScenes([block_scene] * 3, view, height=32, width=32) as scenes:
        training = DrQV2Training(scenes, WorkerPictures(), config, torch.device("cpu"))
        while training.frames < 200:
            training.advance()
        # The last step's share is due before the next one.
        assert training.progress.updates == (training.progress.steps - 3 - 30) // 2
        assert training.progress.episodes == 6
        assert training.losses().keys() == {
            "critic_loss",
            "actor_loss",
            "value",
            "n_step_return",
        }
        assert training.losses() == {}
        training._sums.fill_(float("nan"))
        training._summed = 1
        with pytest.raises(ConfigError, match=r"diverged at frame 2\d\d"):
            training.losses()


def test_what_cannot_be_resumed_says_why(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown task 'nonsense'; choose one of"):
        train_drqv2("nonsense", smoke_config(tmp_path), lambda *_: None)
    with pytest.raises(ConfigError, match="not the folder of a run"):
        train(resumed(DrQV2Config, tmp_path))
    with pytest.raises(ConfigError, match="own configuration: batch_size is 8 there, not 9"):
        train(resumed(DrQV2Config, whole, batch_size=9))
    with pytest.raises(CheckpointError, match="trains for task 'toy_block', not for 'other'"):
        train_drqv2("other", resumed(DrQV2Config, whole), lambda *_: None, block_scene)
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "config.json").write_text((whole / "config.json").read_text())
    with pytest.raises(CheckpointError, match="ended before its first checkpoint"):
        train(resumed(DrQV2Config, copy))
    (copy / "training.pt").write_bytes((whole / "training.pt").read_bytes()[:5000])
    with pytest.raises(CheckpointError, match="truncated or no checkpoint"):
        train(resumed(DrQV2Config, copy))
    (copy / "training.pt").write_bytes((whole / "training.pt").read_bytes())
    with pytest.raises(CheckpointError, match=r"\.npz: missing or torn"):
        train(resumed(DrQV2Config, copy))


@dataclass(frozen=True)
class Described:
    """Scenes that nobody starts: what they would say of themselves."""

    spec: TaskSpec

    def __len__(self) -> int:
        return 1


def test_a_replay_that_is_too_small_or_episodes_too_short_are_refused(tmp_path: Path) -> None:
    config = smoke_config(tmp_path)
    for steps, message in (
        (2, "2 control steps: n_step must be less"),
        (500, "replay_capacity must be at least 506"),
    ):
        scenes: Any = Described(BlockTask(steps).spec)
        with pytest.raises(ConfigError, match=message):
            DrQV2Training(scenes, WorkerPictures(), config, torch.device("cpu"))
