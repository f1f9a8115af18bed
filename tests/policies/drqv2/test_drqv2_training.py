"""A DrQ-v2 run from start to end on a toy: it learns, can be killed, and plays what it learnt."""

from __future__ import annotations

import json
import shutil
import time
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from drqv2_fixtures import SIZE, BlockTask, block_env, block_scene, random_return, smoke_config
from training_fixtures import kill

from policies.drqv2.config import DrQV2Config
from policies.drqv2.replay import Replay
from policies.drqv2.run import KIND, train_drqv2
from policies.drqv2.training import DrQV2Training
from policies.pictures import BatchPictures
from policies.registry import load_policy
from policies.rollout import evaluate_policy
from policies.training import EVALUATION_SEEDS
from policies.training.curves import FILE as CURVES
from policies.training.curves import read_curves
from policies.training.run import load_state, resumed
from samg_ros.errors import CheckpointError, ConfigError
from sim_bridge.envs.vector import vectorize

TASK = "toy_block"
TOY = partial(block_env, masks="oracle", keys=("rgb",), stop_on_success=False)

# Trains with the configuration that smoke_config gives, and kills itself at frame 500, between
# two checkpoints, in the middle of its episodes. Tells its workers' process ids before.
KILLED = """
import multiprocessing, os, signal, sys
from pathlib import Path
from drqv2_fixtures import block_env, smoke_config
from policies.drqv2.run import train_drqv2

def report(frames, line):
    if frames >= 500:
        print(*(child.pid for child in multiprocessing.active_children()), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

train_drqv2("toy_block", smoke_config(Path(sys.argv[1])), report, block_env)
"""


def train(config: DrQV2Config, lines: list[str] | None = None) -> Path:
    """:return: the run's folder."""
    told = [] if lines is None else lines
    path = train_drqv2(TASK, config, lambda _, line: told.append(line), block_env)
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


def test_killed_and_resumed_goes_on_from_the_last_checkpoint(tmp_path: Path) -> None:
    folder, printed = kill(KILLED, tmp_path)
    workers = [int(pid) for pid in printed.split()]
    assert len(workers) == 2
    wait_for_the_end_of(workers)
    kept = load_state(folder, KIND, TASK)
    at = 2 * kept["state"]["training"]["steps"]
    assert (
        330 <= at < 500 and kept["state"]["training"]["updates"] == (at - 84) / 4
    )  # a step later
    # What a crash might leave: half a line, and rows that no checkpoint knows of.
    told = (folder / CURVES).read_bytes()
    (folder / CURVES).write_bytes(told + b'{"kind": "upd')
    stray = folder / "state" / "replay_000000009999_000000010000.npz"
    stray.write_bytes(b"torn")

    lines: list[str] = []
    assert train(resumed(DrQV2Config, folder), lines) == folder
    assert not stray.exists()
    before = told[: kept["state"]["curves_at"]]
    assert (folder / CURVES).read_bytes().startswith(before)
    curves = read_curves(folder)
    # The same budget, each point once; the killed process's after its checkpoint are forgotten.
    assert curves["evaluation/episode_return"][0] == [252, 500, 700]
    assert curves["update/value"][0] == [100, 200, 300, 400, 500, 600, 700]
    state = load_state(folder, KIND, TASK)["state"]
    assert state["training"]["steps"] == 350
    assert state["training"]["updates"] == (700 - 84) // 4
    optimizer = state["training"]["agent"]["actor_optimizer"]["state"]
    assert optimizer[0]["step"] == (700 - 84) // 4, "the updates before the kill count"
    assert state["best"] >= kept["state"]["best"]
    results = json.loads((folder / "results.json").read_text())
    assert len(results["episodes"]) == 5 and results["frames"] == 700


def test_the_replay_is_kept_on_disk_row_by_row(tmp_path: Path) -> None:
    def replay() -> Replay:
        sizes = {"image_size": 4, "action_size": 1, "frame_stack": 3, "n_step": 3}
        return Replay(
            capacity=100, environments=2, **sizes, discount=0.9, device=torch.device("cpu")
        )

    rng, whole, files = np.random.default_rng(0), replay(), []
    for tick in range(119):
        whole.add(
            torch.from_numpy(rng.integers(256, size=(2, 3, 4, 4), dtype=np.uint8)),
            torch.rand(2, 1),
            rng.random(2),
            np.full(2, tick % 21),
        )
        if tick % 17 == 16:  # a ring of 50 rows: files end to be needed one by one
            keep, write = whole.unsaved(files)
            assert whole.unsaved([*keep, *write])[1] == {}, "no row is written twice"
            for name, writer in write.items():
                writer(tmp_path / name)
            files = [*keep, *write]
    assert len(files) < 119 // 17, "what was overwritten is not kept"
    again = replay()
    for name in files:
        again.restore_file(tmp_path / name)
    assert again.ticks == 119
    ours, theirs = again.rows(again.oldest, 119), whole.rows(again.oldest, 119)
    for one, other in zip(vars(ours).values(), vars(theirs).values(), strict=True):
        np.testing.assert_array_equal(one, other)


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


def test_a_finished_run_can_be_prolonged(tmp_path: Path) -> None:
    config = replace(smoke_config(tmp_path), frames=500, evaluate_every=10**6, score_episodes=0)
    short = train(config)
    assert json.loads((short / "results.json").read_text())["record"]["scores"] == {}
    assert train(resumed(DrQV2Config, short, frames=700)) == short
    assert json.loads((short / "config.json").read_text())["settings"]["frames"] == 700
    curves = read_curves(short)
    assert curves["evaluation/episode_return"][0] == [500, 700]
    assert curves["update/critic_loss"][0][-1] == 700


def test_no_sample_crosses_an_evaluation(tmp_path: Path) -> None:
    """It takes the environments out of their episodes; new ones begin after it."""
    config = replace(smoke_config(tmp_path), environments=2, seed_frames=10**6)
    with closing(vectorize([TOY] * 2, copy=False)) as envs:
        training = DrQV2Training(envs, BatchPictures(SIZE), config, torch.device("cpu"))
        for _ in range(8):
            training.advance()
        training.begin_anew()
        for _ in range(8):
            training.advance()
        ages = training.replay.rows(0, 16).ages[:, 0].tolist()
        assert ages == [*range(8), *range(8)]
        assert training.episodes == 4 and training.steps == 28


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
    results = evaluate_policy(policy, block_scene(), "oracle", EVALUATION_SEEDS[:5])
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
    # 700 frames are 350 steps of 2 environments, in episodes of 20, two at a time; evaluations
    # cut them off.
    ends = [80, 160, 240, 252 + 80, 252 + 160, 252 + 240, 500 + 80, 500 + 160]
    assert curves["training/episode_return"][0] == [frames for frames in ends for _ in "ab"]
    assert curves["evaluation/episode_return"][0] == [252, 500, 700]


def test_updates_keep_their_share_whatever_the_number_of_environments(tmp_path: Path) -> None:
    config = replace(smoke_config(tmp_path), environments=3, seed_frames=60, update_every=2)
    with closing(vectorize([TOY] * 3, copy=False)) as envs:
        training = DrQV2Training(envs, BatchPictures(SIZE), config, torch.device("cpu"))
        while training.frames < 200:
            training.advance()
        # The last step's share is due before the next one.
        assert training.updates == (training.steps - 3 - 30) // 2
        assert training.episodes == 6
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
        train_drqv2("other", resumed(DrQV2Config, whole), lambda *_: None, block_env)
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "config.json").write_text((whole / "config.json").read_text())
    with pytest.raises(CheckpointError, match="ended before its first checkpoint"):
        train(resumed(DrQV2Config, copy))
    (copy / "training.pt").write_bytes((whole / "training.pt").read_bytes()[:5000])
    with pytest.raises(CheckpointError, match="truncated or no checkpoint"):
        train(resumed(DrQV2Config, copy))
    (copy / "training.pt").write_bytes((whole / "training.pt").read_bytes())
    (copy / "state").mkdir()
    with pytest.raises(CheckpointError, match=r"\.npz: missing or torn"):
        train(resumed(DrQV2Config, copy))


def test_a_replay_that_is_too_small_or_episodes_too_short_are_refused(tmp_path: Path) -> None:
    config = smoke_config(tmp_path)
    for steps, message in (
        (2, "2 control steps: n_step must be less"),
        (500, "replay_capacity must be at least 506"),
    ):
        toy = partial(block_env, partial(block_scene, steps))
        with closing(vectorize([toy])) as envs, pytest.raises(ConfigError, match=message):
            DrQV2Training(envs, BatchPictures(SIZE), config, torch.device("cpu"))
