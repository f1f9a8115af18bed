"""Files that are there whole or not at all: what is refused, and what is kept then."""

from __future__ import annotations

from pathlib import Path

import pytest

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
