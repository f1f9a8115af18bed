"""The folder of a run: new, gone on with, or refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from samg_ros.errors import ConfigError
from samg_ros.io.atomic import OutputError
from samg_ros.io.run_folder import RunFolder, command_line, package_version, read_config


@dataclass(frozen=True)
class Inner:
    width: int = 1


@dataclass(frozen=True)
class Settings:
    weights: Path | None = None
    tasks: tuple[str, ...] = ("door",)
    fast: bool = True
    out: str = ""
    inner: Inner = field(default_factory=Inner)


def test_runs_that_begin_in_the_same_second_have_folders_of_their_own(tmp_path: Path) -> None:
    runs = [RunFolder.new(tmp_path, "same", Settings()).path for _ in range(3)]
    assert len(set(runs)) == 3 and sorted(tmp_path.iterdir()) == sorted(runs)
    assert all(run.name.startswith("same_20") for run in runs)


def test_a_run_without_a_given_folder_gets_one_under_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with RunFolder.begin("demo", {}) as run:
        assert run.path.parent == Path("runs") and run.path.name.startswith("demo_20")


def test_it_tells_at_once_what_it_is(tmp_path: Path) -> None:
    settings = Settings(weights=Path("/home/me/w.pt"))
    with RunFolder.begin("x", settings, "samg x", out=str(tmp_path / "a" / "b")) as run:
        config = read_config(run.path)
        assert config["command"] == "samg x" and config["version"] == package_version()
        assert config["settings"] == {
            "weights": "/home/me/w.pt",
            "tasks": ["door"],
            "fast": True,
            "out": "",
            "inner": {"width": 1},
        }
        assert config["machines"][0].keys() >= {"processor", "cores", "torch"}
        assert run.results() == {} and not run.resumed
        run.write_results({"score": 1.0})
        assert run.results() == {"score": 1.0}
        run.write_settings(Settings(), "samg x again")
        assert read_config(run.path)["settings"]["weights"] is None
        assert read_config(run.path)["command"] == "samg x again"


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path, resume: bool) -> None:
    (tmp_path / "precious").touch()
    with pytest.raises(ConfigError, match="is not empty; name a new folder with --out"):
        RunFolder.begin("x", {}, out=str(tmp_path), resume=resume)
    with pytest.raises(ConfigError, match="is no folder"):
        RunFolder.begin("x", {}, out=str(tmp_path / "precious"), resume=resume)
    assert [item.name for item in tmp_path.iterdir()] == ["precious"]


def test_what_was_killed_while_it_began_begins_again(tmp_path: Path) -> None:
    (tmp_path / ".partial").mkdir()
    (tmp_path / ".partial" / "config.json").write_text("{")
    with RunFolder.begin("x", {"seed": 0}, out=str(tmp_path)) as run:
        assert read_config(run.path)["settings"] == {"seed": 0}


def test_a_run_goes_on_under_its_own_settings_alone(tmp_path: Path) -> None:
    out = str(tmp_path / "run")
    RunFolder.begin("x", Settings(), "samg x", out=out, resume=True).close()
    with RunFolder.begin("x", Settings(), "samg x again", out=out, resume=True) as run:
        assert run.resumed
    assert read_config(tmp_path / "run")["command"] == "samg x"
    assert len(read_config(tmp_path / "run")["machines"]) == 1
    with pytest.raises(ConfigError, match=r"run with other settings \(tasks, fast\); name a new"):
        RunFolder.begin("x", Settings(tasks=("pen",), fast=False), out=out, resume=True)
    with pytest.raises(ConfigError, match="is not empty"):
        RunFolder.begin("x", Settings(), out=out)


def test_every_machine_is_noted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def here(name: str) -> Callable[[], dict]:
        return lambda: {"processor": name}

    for name in ("one", "two", "one"):
        monkeypatch.setattr("samg_ros.machine.machine", here(name))
        RunFolder.begin("x", {}, out=str(tmp_path), resume=True).close()
    found = [machine["processor"] for machine in read_config(tmp_path)["machines"]]
    assert found == ["one", "two"]


def test_one_process_at_a_time_works_in_a_folder(tmp_path: Path) -> None:
    with RunFolder.begin("x", {}, out=str(tmp_path)):
        for _ in range(2):  # a refused one must not let the next one in
            with pytest.raises(ConfigError, match="another process is at work there"):
                RunFolder.existing(tmp_path)
    with pytest.raises(ConfigError, match="other settings"):
        RunFolder.begin("x", {"seed": 1}, out=str(tmp_path), resume=True)
    RunFolder.existing(tmp_path).close()  # the refused one let go of it


@pytest.mark.parametrize("content", ["", "[]", '{"settings": {}}', "{"])
def test_what_is_no_run_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(ConfigError, match="not the folder of a run"):
        RunFolder.existing(tmp_path)
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ConfigError, match=r"config\.json: (cannot be read|not the settings)"):
        RunFolder.begin("x", {}, out=str(tmp_path), resume=True)


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="Not a directory"):
        RunFolder.begin("x", {}, out=str(tmp_path / "file" / "run"))
    with pytest.raises(OutputError, match="cannot write the run's folder"):
        RunFolder.new(tmp_path / "file", "x", {})


def test_results_that_cannot_be_read_are_none(tmp_path: Path) -> None:
    with RunFolder.begin("x", {}, out=str(tmp_path)) as run:
        (tmp_path / "results.json").write_text("{torn")
        assert run.results() == {}


def test_the_command_that_repeats_a_run_tells_what_is_not_as_by_default() -> None:
    assert command_line("samg x", Settings()) == "samg x"
    settings = Settings(Path("/home/me/w.pt"), ("a", "b"), False, "here", Inner(2))
    assert command_line("samg x", settings, ("out",)) == (
        "samg x --weights w.pt --tasks a b --no-fast --inner.width 2"
    )
    assert json.dumps(settings.out) not in command_line("samg x", settings, ("out",))
