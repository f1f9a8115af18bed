"""``samg eval``: what it runs, and what survives a kill."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from drqv2_fixtures import SPEC, block_env, block_scene, dying_scene
from eval_fixtures import (
    TOY,
    CenteringPolicy,
    CountingMasker,
    FakeRay,
    changed_student,
    episodes,
    open_folder,
    success_records,
    white_masks,
)

from policies.episode import Cell, Episode, EpisodeRecord
from policies.eval import drive
from policies.eval.config import EvalConfig, command, settings
from policies.eval.prepare import prepare
from policies.eval.runner import run
from policies.rollout import evaluate_policy
from samg_ros.cli import main
from samg_ros.errors import ConfigError, SamgError, SimulationError
from samg_ros.masking.config import MaskerConfig
from samg_ros.masking.result import MaskSource
from sim_bridge.envs.vector import vectorize

DOOR = "adroit_door"
CELL = Cell(DOOR, "student", "oracle", "none")
SAMG = "import sys; from samg_ros.cli import main; sys.exit(main())"
DEADLINE_S = 300.0


# What a run is called


def test_results_do_not_name_this_machines_folders(tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    config = EvalConfig(
        policies=("student", str(tmp_path / "mine.safetensors")),
        masks=("samg",),
        perturb=("none", f"video_hard={clips},camera_pose=medium"),
        on_lost="blank",
    )
    masker = MaskerConfig(segmenter_weights=str(tmp_path / "sam.pt"), views=2)
    told = command(config, masker) + json.dumps(settings(config, masker))
    assert str(tmp_path) not in told
    assert "--policies student mine.safetensors " in told
    assert "video_hard=DIR/clips,camera_pose=medium" in told
    assert "--on-lost blank" in told and "--views 2" in told
    assert config.perturbations["video_hard=DIR/clips,camera_pose=medium"] == config.perturb[1]


def test_two_folders_of_one_name_are_refused() -> None:
    config = EvalConfig(perturb=("video_hard=/a/clips", "video_hard=/b/clips"))
    with pytest.raises(ConfigError, match="would both be called 'video_hard=DIR/clips'"):
        _ = config.perturbations


def test_combinations_and_twins(tmp_path: Path) -> None:
    raw = changed_student(tmp_path, mask="none")
    config = EvalConfig(
        policies=("student", str(raw)), masks=("oracle", "black"), perturb=("none",), episodes=2
    )
    prepared = prepare(config)
    assert prepared.cells == (
        CELL,
        replace(CELL, mask="black"),
        replace(CELL, policy="changed.safetensors", mask="none"),
    )
    assert [episode.seed for episode in prepared.episodes] == [0, 1] * 3
    prints = prepared.fingerprints()
    assert len(set(prints.values())) == 2, "another specification is another policy"


# What is run


def toy_run(
    mask: str, seeds: Sequence[int], envs: int, masker: MaskSource | None = None
) -> list[EpisodeRecord]:
    records: list[EpisodeRecord] = []
    policies = {"centering": CenteringPolicy()}
    with closing(vectorize([block_env] * envs)) as vector:
        run(vector, episodes(mask, seeds), policies, masker, "hold", records.append)
    return sorted(records, key=lambda record: record.seed)


@pytest.mark.parametrize("mask", ["oracle", "none", "black", "oracle+noise"])
def test_episodes_are_those_that_are_run_one_by_one(mask: str) -> None:
    seeds = range(3)
    expected = evaluate_policy(CenteringPolicy(), block_scene(), mask, seeds)
    records = toy_run(mask, seeds, envs=2)
    assert [record.seed for record in records] == list(seeds)
    assert [record.success for record in records] == [None] * 3
    assert [record.steps for record in records] == [SPEC.episode_steps] * 3
    assert [record.episode_return for record in records] == [
        episode.episode_return for episode in expected.episodes
    ]
    assert len({record.episode_return for record in records}) == 3


def test_samg_masks_are_scored_and_made_as_one_batch() -> None:
    perfect = toy_run("samg", range(4), 2, white_masks)
    assert [(r.mean_iou, r.min_iou, r.found) for r in perfect] == [(1.0, 1.0, 1.0)] * 4
    oracle = toy_run("oracle", range(4), 2)
    assert [r.episode_return for r in perfect] == [r.episode_return for r in oracle]
    assert {r.mean_iou for r in oracle} == {None}
    masker = CountingMasker()
    records = toy_run("samg", range(4), 2, masker)
    assert set(masker.batches) == {2} and masker.cameras == {TOY}
    assert len(masker.batches) == 2 * SPEC.episode_steps, "no frame is masked twice or for nothing"
    # Of the two episodes at a time one is always lost: its frames stay black.
    assert Counter(record.found for record in records) == {1.0: 2, 0.0: 2}
    assert {r.mean_iou for r in records if r.found == 0} == {0.0}


def test_a_world_that_dies_ends_the_run_with_the_reason() -> None:
    with (
        closing(vectorize([partial(block_env, dying_scene)])) as vector,
        pytest.raises(SimulationError, match=r"worker process died \(exit code 7\)"),
    ):
        policies = {"centering": CenteringPolicy()}
        run(vector, episodes("oracle", [0]), policies, None, "hold", lambda record: None)


# What is kept


def test_records_survive_as_json() -> None:
    record = EpisodeRecord(3, True, 28, 73.5, 0.9, 0.8, 1.0, cell=CELL)
    table = json.loads(json.dumps(record.to_json()))
    assert EpisodeRecord.from_json(table) == record
    for broken in ({**table, "seed": "3"}, {**table, "more": 1}, {"task": DOOR}, [1, 2]):
        with pytest.raises(ConfigError, match="an episode"):
            EpisodeRecord.from_json(broken)


def test_folder_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path, config = tmp_path / "run", EvalConfig(masks=("oracle",), episodes=4)
    planned = [Episode(CELL, seed) for seed in range(4)]
    first, second = success_records(CELL, [1, 0])
    with open_folder(path, config) as folder:
        folder.append(first)
        folder.append(second)
        with pytest.raises(ConfigError, match="another process is at work"):
            open_folder(path, config)
    file = path / "episodes.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"task": "adroit_door", "poli')  # killed while it wrote
    with open_folder(path, config) as folder:
        assert folder.records == [first, second]
        assert folder.missing(planned) == planned[2:]
        assert file.read_bytes() == whole
    assert len(json.loads((path / "config.json").read_text())["machines"]) == 1
    with pytest.raises(ConfigError, match=r"other settings \(on_lost, masks\)|\(masks, on_lost\)"):
        open_folder(path, replace(config, masks=("none",), on_lost="blank"))
    open_folder(path, replace(config, envs=3, json=True)).close()
    file.write_bytes(b"nonsense\n" + whole)
    with pytest.raises(ConfigError, match=r"episodes\.jsonl, line 1: .*delete the line"):
        open_folder(path, config)


def test_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    with pytest.raises(ConfigError, match="is not empty; name a new folder"):
        open_folder(tmp_path, EvalConfig())
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_killed_run_goes_on_and_ends_as_if_it_had_not_been(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["eval", "--masks", "oracle", "--perturb", "none", "--episodes", "3", "--envs", "2"]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    file = killed / "episodes.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-c", SAMG, *options, "--out", str(killed)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + DEADLINE_S
    while not (file.is_file() and file.stat().st_size) and process.poll() is None:
        assert time.monotonic() < deadline, "the first episode does not end"
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = file.read_bytes()
    done = before.count(b"\n")
    assert main([*options, "--out", str(killed)]) == 0
    assert f"resuming after {done} of 3" in capsys.readouterr().out
    assert file.read_bytes().startswith(before)
    assert main([*options, "--out", str(whole)]) == 0
    lines = sorted((whole / "episodes.jsonl").read_text().splitlines())
    assert sorted(file.read_text().splitlines()) == lines and len(lines) == 3
    results = json.loads((whole / "results.json").read_text())
    (row,) = results["rows"]
    assert row["episodes"] == 3 and row["success"]["mean"]["mean"] == 1.0
    assert (whole / "results.md").read_text().count("\n") == 3
    assert (whole / "results.png").stat().st_size > 1000


# Ray


def test_ray_spreads_units_and_keeps_them_as_they_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", ray)
    asked: list[tuple[EvalConfig, list[int]]] = []

    def run_unit(
        config: EvalConfig, masker: MaskerConfig, unit: list[Episode]
    ) -> list[EpisodeRecord]:
        asked.append((config, [episode.seed for episode in unit]))
        if config.masks == ("black",):
            raise SamgError("the machine has no light")
        return [EpisodeRecord(episode.seed, True, 1, 1.0, cell=episode.cell) for episode in unit]

    monkeypatch.setattr(drive, "run_unit", run_unit)
    config = EvalConfig(masks=("oracle", "black"), perturb=("none",), episodes=7, ray="here:1")
    prepared = prepare(config)
    told: list[EpisodeRecord] = []
    with open_folder(tmp_path / "run", config) as folder:
        folder.append(EpisodeRecord(0, True, 1, 1.0, cell=CELL))
        problems = drive.drive_ray(prepared, MaskerConfig(), folder, told.append)
        assert len(folder.records) == 7 and len(told) == 6
    assert ray.address == "here:1" and {option["num_gpus"] for option in ray.options} == {0}
    seeds = {(unit.masks, tuple(s)) for unit, s in asked}
    assert seeds == {
        (("oracle",), (1, 2, 3, 4, 5)),
        (("oracle",), (6,)),
        (("black",), (0, 1, 2, 3, 4)),
        (("black",), (5, 6)),
    }
    assert len(problems) == 2 and "no light" in problems[0]
