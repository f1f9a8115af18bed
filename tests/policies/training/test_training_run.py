"""What all trainings have in common: their folder, and the state that they go on from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from policies.training.run import (
    FILE,
    Kind,
    TrainingRun,
    arrays_writer,
    check_resumed,
    load_state,
    read_arrays,
    resumed,
)
from samg_ros.errors import CheckpointError, ConfigError
from samg_ros.io.atomic import OutputError

KIND = Kind("toy", 1, may_change=("rounds",))


@dataclass(frozen=True)
class Config:
    seed: int = 0
    rounds: int = 3
    width: int = 8
    resume: Path | None = None
    runs: Path = Path("runs")


def run_of(config: Config, kind: Kind = KIND, task: str = "one") -> TrainingRun:
    return TrainingRun(kind, task, config, "one_toy")


def begun(runs: Path, **state: Any) -> Path:
    """The folder of a run that kept ``state`` and a file."""
    with run_of(Config(runs=runs)) as run:
        run.save(state, {"rows.npz": arrays_writer({"x": np.arange(4)})})
        return run.path


def test_what_was_kept_comes_back(tmp_path: Path) -> None:
    with run_of(Config(seed=4, runs=tmp_path)) as run:
        assert run.state is None and run.files == []
        run.save({"rounds": 1}, {"a.npz": arrays_writer({"x": np.arange(4)})})
        run.save(
            {"rounds": 2, "weights": {"w": torch.ones(2)}},
            {"b.npz": arrays_writer({"x": np.arange(5)})},
            keep=["a.npz"],
        )
        folder = run.path
    again = run_of(resumed(Config, folder))
    assert again.state is not None and again.state["rounds"] == 2
    assert torch.equal(again.state["weights"]["w"], torch.ones(2))
    with again:
        assert again.path == folder and again.files == ["a.npz", "b.npz"]
        assert [len(again.read(name, read_arrays)["x"]) for name in again.files] == [4, 5]
        assert again.duration_s >= load_state(folder, KIND)["duration_s"] > 0
        again.save({"rounds": 3}, keep=["b.npz"])
        assert [path.name for path in (folder / "state").iterdir()] == ["b.npz"]
        record = again.record({"state": 0.5})
        assert record.command == "samg train toy one --seed 4" and record.seed == 4
        again.finish(record, {"episodes": []}, {"loss": [1.0, 0.5]}, xlabel="round")
        assert again.results()["record"]["scores"] == {"state": 0.5}
        assert (folder / "curve.png").stat().st_size > 1000
        again.forget()
    with pytest.raises(CheckpointError, match="nothing left to do: start anew"):
        run_of(resumed(Config, folder))


def test_only_what_may_change_is_told_anew(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    check_resumed(resumed(Config, folder, rounds=9, runs=Path("elsewhere")), KIND.may_change)
    with pytest.raises(ConfigError, match="width is 8 there, not 9; only rounds may be new"):
        run_of(resumed(Config, folder, width=9))
    with pytest.raises(ConfigError, match="rounds is 3 there, not 4; leave it out"):
        run_of(resumed(Config, folder, rounds=4), Kind("toy", 1))
    with run_of(resumed(Config, folder, rounds=9)) as run:
        run.note_config()
    assert json.loads((folder / "config.json").read_text())["settings"]["rounds"] == 9


def test_the_state_of_something_else_is_refused(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    for kind in (Kind("toy", 2), Kind("game", 1)):
        with pytest.raises(CheckpointError, match="not the state of such a training of this rel"):
            run_of(resumed(Config, folder), kind)
    with pytest.raises(CheckpointError, match="trains for task 'one', not for 'two'"):
        run_of(resumed(Config, folder), task="two")
    with pytest.raises(ConfigError, match="not the folder of a run"):
        resumed(Config, tmp_path)


@pytest.mark.parametrize("content", [b"", b"plain text", b"PK\x03\x04"])
def test_a_state_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    folder = begun(tmp_path)
    (folder / FILE).write_bytes(content)
    with pytest.raises(CheckpointError, match="truncated or no checkpoint"):
        run_of(resumed(Config, folder))


@pytest.mark.parametrize("content", [None, b"", b"plain text", b"PK\x03\x04"])
def test_a_file_that_is_missing_or_torn_is_told(tmp_path: Path, content: bytes | None) -> None:
    folder = begun(tmp_path)
    file = folder / "state" / "rows.npz"
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    with (
        run_of(resumed(Config, folder)) as run,
        pytest.raises(CheckpointError, match=r"rows\.npz: missing or torn .*; start anew"),
    ):
        run.read("rows.npz", read_arrays)


def test_a_full_disk_is_told_and_the_state_before_it_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = begun(tmp_path, rounds=1)
    with run_of(resumed(Config, folder)) as run:
        (folder / ".partial").mkdir()
        (folder / ".partial" / FILE).symlink_to("/dev/full")
        monkeypatch.setattr("samg_ros.io.atomic._remove", lambda _: None)
        with pytest.raises(OutputError, match="No space left on device"):
            run.save({"rounds": 2}, {"new.npz": arrays_writer({})}, keep=["rows.npz"])
    stored = load_state(folder, KIND)
    assert stored["state"]["rounds"] == 1 and stored["files"] == ["rows.npz"]


def test_what_cannot_begin_leaves_no_folder(tmp_path: Path) -> None:
    run_of(Config(runs=tmp_path))  # its block is never entered
    assert not list(tmp_path.iterdir())
