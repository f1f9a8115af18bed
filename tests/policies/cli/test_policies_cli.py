"""``samg policies``: what ships is listed with its scores, and each tells how it was made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from policies.checkpoints import acting, shipped, shipped_students
from samg_ros.cli import main


def test_lists_what_acts_with_its_scores(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policies"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    listed = {row[0]: row for row in rows if row[0] in shipped()}
    assert list(listed) == acting() and not any(name.endswith("_teacher") for name in listed)
    for name in shipped_students():
        with_masks = float(listed[name][-4])
        assert with_masks > float(listed[name][-1]), f"{name} needs no picture"


def test_tells_how_one_was_made(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("adroit_door", str(shipped()["walker_walk_teacher"])):
        assert main(["policies", name]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["record"]["command"].startswith("samg train ") and told["spec"]["joint_names"]


def test_what_is_no_checkpoint_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "torn.safetensors").write_bytes(shipped()["adroit_pen"].read_bytes()[:1000])
    for name, reason in (("nothing", "neither a file nor one of adroit_door"), ("torn", "trunc")):
        path = name if name == "nothing" else str(tmp_path / f"{name}.safetensors")
        assert main(["policies", path]) == 1
        assert reason in capsys.readouterr().err
