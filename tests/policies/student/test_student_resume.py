"""A student's training that is broken off leaves a checkpoint, and can be gone on with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from policies.student.config import StudentConfig
from policies.student.policy import StudentPolicy
from policies.student.train import train_student
from policies.training.state_file import resumed
from samg_ros.cli import main
from samg_ros.errors import CheckpointError, ConfigError
from samg_ros.io.atomic import OutputError

TASK = "adroit_door"


class KilledError(Exception):
    pass


def config(runs: Path, **changed: Any) -> StudentConfig:
    given = {
        "iterations": 3,
        "first_episodes": 1,
        "episodes": 1,
        "updates": 3,
        "batch_size": 8,
        "maskings": 2,
        "max_steps": 8,
        "evaluation_episodes": 1,
        "runs": runs,
    }
    return StudentConfig(**{**given, **changed})


def until(last: int):
    """What is told of the rounds, and a stop after the ``last``, whose state is not kept."""
    lines: list[str] = []

    def report(round_: int, line: str) -> None:
        lines.append(line)
        if round_ == last:
            raise KilledError

    return lines, report


def broken_off(runs: Path, last: int) -> Path:
    """The folder of a run that was."""
    with pytest.raises(KilledError):
        train_student(TASK, config(runs), until(last)[1])
    (folder,) = runs.iterdir()
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A run that nothing disturbed: its checkpoint, and what it told."""
    lines, report = until(0)
    return train_student(TASK, config(tmp_path_factory.mktemp("whole")), report), lines


def test_a_run_that_is_broken_off_leaves_a_checkpoint(tmp_path: Path) -> None:
    folder = broken_off(tmp_path, 1)
    policy = StudentPolicy.load(folder / f"{TASK}.safetensors", TASK)
    assert policy.spec.frame_stack == 3


@pytest.mark.parametrize("last", [1, 3])
def test_a_resumed_run_ends_as_one_that_nothing_disturbed(
    whole: tuple[Path, list[str]], tmp_path: Path, last: int
) -> None:
    expected, told = whole
    folder = broken_off(tmp_path, last)
    lines, report = until(0)
    path = train_student(TASK, resumed(StudentConfig, folder), report)
    assert path.parent == folder and [*tmp_path.iterdir()] == [folder]
    assert lines == told[last - 1 :]  # the round whose state was not kept is done again
    one, other = (StudentPolicy.load(file, TASK) for file in (expected, path))
    assert one.preprocessing == other.preprocessing
    for name, weight in one.network.state_dict().items():
        assert torch.equal(weight, other.network.state_dict()[name])
    results = [json.loads((file.parent / "results.json").read_text()) for file in (expected, path)]
    assert results[0]["episodes"] == results[1]["episodes"]
    assert results[0]["record"]["command"] == results[1]["record"]["command"]


def test_a_finished_run_keeps_only_its_results(whole: tuple[Path, list[str]]) -> None:
    folder = whole[0].parent
    assert {file.name for file in folder.iterdir()} == {
        "config.json",
        "results.json",
        "curve.png",
        f"{TASK}.safetensors",
    }
    with pytest.raises(CheckpointError, match="nothing left to do"):
        train_student(TASK, resumed(StudentConfig, folder), until(0)[1])


def test_what_cannot_be_resumed_says_why(tmp_path: Path, capsys) -> None:
    with pytest.raises(ConfigError, match="not the folder of a run"):
        train_student(TASK, resumed(StudentConfig, tmp_path), until(0)[1])
    folder = broken_off(tmp_path / "runs", 2)
    with pytest.raises(ConfigError, match="updates is 3 there, not 9; leave it out"):
        train_student(TASK, resumed(StudentConfig, folder, updates=9), until(0)[1])
    with pytest.raises(CheckpointError, match=f"trains for task '{TASK}', not for 'adroit_pen'"):
        train_student("adroit_pen", resumed(StudentConfig, folder), until(0)[1])
    (folder / "episodes" / "00001.npz").write_bytes(b"torn")
    assert main(["train", "student", TASK, "--resume", str(folder)]) == 1
    assert "00001.npz: missing or torn" in " ".join(capsys.readouterr().err.split())
    config_file = folder / "config.json"
    stored = json.loads(config_file.read_text())
    config_file.write_text(json.dumps(stored | {"settings": {"sac": {}}}))
    with pytest.raises(CheckpointError, match="has unknown sac"):
        train_student(TASK, resumed(StudentConfig, folder), until(0)[1])


def test_an_option_that_is_given_is_told_from_one_that_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A value that is the default, or a recipe's, is as good as any other."""
    folder = broken_off(tmp_path, 1)
    assert main(["train", "student", TASK, "--resume", str(folder), "--updates", "400"]) == 1
    assert "updates is 3 there, not 400" in " ".join(capsys.readouterr().err.split())
    told: list[StudentConfig] = []
    monkeypatch.setattr(
        "policies.student.train.train_student", lambda _, given, __: told.append(given) or folder
    )
    main(["train", "student", TASK, "--recipe", "dm_control", f"--resume={folder}"])
    assert told == [resumed(StudentConfig, folder)]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("teacher", "nosuch"), "unknown task 'nosuch'"),
        (("student", "nosuch"), "unknown task 'nosuch'"),
        (("student", "finger_spin", "--offsets"), "offsets from joint positions need position"),
    ],
)
def test_what_cannot_begin_leaves_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], why: str
) -> None:
    assert main(["train", *arguments, "--runs", str(tmp_path)]) == 1
    assert why in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir())


def test_a_disk_that_is_full_stops_the_run_and_keeps_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = broken_off(tmp_path, 2)
    state = (folder / "training.pt").read_bytes()

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr("policies.student.dagger.np.savez_compressed", refuse)
        with pytest.raises(OutputError, match="No space left on device"):
            train_student(TASK, resumed(StudentConfig, folder), until(0)[1])
    assert (folder / "training.pt").read_bytes() == state
    train_student(TASK, resumed(StudentConfig, folder), until(0)[1])
