"""Files that are there whole or not at all: what is refused, and what is kept then."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies.eval.folder import EvalFolder
from policies.training.state_file import FILE, StateFile
from samg_ros.errors import CheckpointError
from samg_ros.io.atomic import OutputError, replacing, write_text


def test_a_folder_is_never_replaced_by_a_file(tmp_path: Path) -> None:
    precious = tmp_path / "docs" / "thesis.txt"
    write_text(precious, "years")
    with pytest.raises(OutputError, match="docs: it is a folder; name a file"):
        write_text(tmp_path / "docs", "page")
    assert precious.read_text() == "years"
    assert [*tmp_path.iterdir()] == [tmp_path / "docs"]


@pytest.mark.parametrize("name", [".", "..", "/"])
def test_what_names_no_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "kept").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match="it names no file"):
        write_text(Path(name), "page")
    assert [*tmp_path.iterdir()] == [tmp_path / "kept"]


def test_a_folder_replaces_a_folder(tmp_path: Path) -> None:
    for content in ("first", "second"):
        with replacing(tmp_path / "out") as temporary:
            temporary.mkdir()
            (temporary / content).touch()
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["second"]


def test_an_evaluation_that_was_killed_at_its_start_begins_again(tmp_path: Path) -> None:
    (tmp_path / "episodes.jsonl").touch()
    with EvalFolder(tmp_path, {"seed": 0}, "samg eval") as folder:
        assert folder.records == []


def test_a_full_disk_is_told_and_the_state_before_it_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = StateFile(tmp_path, "test 1")
    states.save({"task": "one", "numbers": [1]})
    (tmp_path / ".partial").mkdir()
    (tmp_path / ".partial" / FILE).symlink_to("/dev/full")
    monkeypatch.setattr("samg_ros.io.atomic._remove", lambda _: None)
    with pytest.raises(OutputError, match="No space left on device"):
        states.save({"task": "one", "numbers": [2]})
    assert states.load("one")["numbers"] == [1]


@pytest.mark.parametrize("content", [b"", b"plain text", b"PK\x03\x04"])
def test_a_state_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(CheckpointError, match="truncated or no checkpoint"):
        StateFile(tmp_path, "test 1").load(None)
