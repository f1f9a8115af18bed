"""``samg eval``: what it refuses before anything runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from drqv2_fixtures import SPEC
from eval_fixtures import (
    CenteringPolicy,
    changed_student,
)
from rich.console import Console
from safetensors import safe_open
from safetensors.torch import save_file

from policies.checkpoints import shipped_students
from policies.cli.demo import check_inputs
from policies.eval.prepare import check_world
from policies.pipeline.simulated import DemoConfig
from samg_ros.cli import main
from samg_ros.errors import CheckpointError

DOOR = "adroit_door"


def other_version(folder: Path) -> Path:
    """The shipped student as another release would have written it."""
    path = folder / "other_version.safetensors"
    with safe_open(shipped_students()[DOOR], framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        save_file(tensors, path, {**file.metadata(), "format_version": "0"})
    return path


def torn(folder: Path) -> Path:
    path = folder / "torn.safetensors"
    path.write_bytes(shipped_students()[DOOR].read_bytes()[:100_000])
    return path


def refused(arguments: Sequence[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What ``samg eval`` says; it must have run and written nothing."""
    out = folder / "out"
    assert main(["eval", *arguments, "--out", str(out)]) == 1
    assert not out.exists()
    return capsys.readouterr().err


@pytest.fixture
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def drive(*_: object) -> list[str]:
        raise AssertionError("it should have been refused")

    monkeypatch.setattr("policies.eval.drive.drive", drive)


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--tasks", "adroit_dor"), "unknown task 'adroit_dor'; choose one of: adroit_door"),
        (("--policies", "nobody"), "unknown policy 'nobody'"),
        (("--tasks", DOOR, "cartpole_balance"), "no checkpoint ships for task"),
        (("--masks", "oracel"), "unknown mask 'oracel'; choose among: samg, oracle"),
        (("--perturb", "fog"), "unknown perturbation 'fog'"),
        (("--perturb", "video_hard=/no/such/folder"), "no folder '/no/such/folder'"),
        (("--perturb", "ground_color=hard"), "does not suit task 'adroit_door'"),
        (("--ray", "auto", "--via-ros"), "leave out ray"),
        (("--via-ros", "--masks", "oracle+noise"), "not made by a node"),
    ],
)
def test_bad_options_are_refused_before_anything_runs(
    arguments: tuple[str, ...], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reason in refused(arguments, tmp_path, capsys)


@pytest.mark.usefixtures("nothing_runs")
def test_bad_checkpoints_are_refused_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def reason(path: Path, *options: str) -> str:
        return refused(["--policies", str(path), *options], tmp_path, capsys)

    hammer = ("--tasks", "adroit_hammer")
    assert "trained for task 'adroit_door', not for" in reason(shipped_students()[DOOR], *hammer)
    assert "torn.safetensors: truncated or not a checkpoint" in reason(torn(tmp_path))
    assert "format version 0, this release reads 1" in reason(other_version(tmp_path))
    assert "no such checkpoint file" in reason(tmp_path / "missing.safetensors")
    other_camera = changed_student(tmp_path, camera="vil_camera")
    assert "the camera is 'fixed', it was trained on 'vil_camera'" in reason(other_camera)


def test_the_demo_refuses_a_policy_of_another_camera(tmp_path: Path) -> None:
    other_camera = changed_student(tmp_path, camera="vil_camera")
    with pytest.raises(CheckpointError, match="'fixed', it was trained on 'vil_camera'"):
        check_inputs(DemoConfig(policy=str(other_camera), mask="oracle"), Console(quiet=True))


def test_a_policy_must_fit_the_task() -> None:
    spec = CenteringPolicy().spec
    check_world(spec, SPEC, "toy")
    for changed, reason in (
        ({"camera": "top"}, "does not fit: the camera is 'front', it was trained on 'top'"),
        ({"joint_names": ("slide", "hinge")}, "joint_states has no hinge"),
        ({"actuated_joints": ("hinge",)}, "it commands hinge"),
        ({"command_mode": "position"}, "the robot takes velocity"),
        ({"command_high": (2.0,)}, "another version of task 'toy_block'"),
        ({"control_dt_s": 0.2}, "another version of task 'toy_block'"),
    ):
        with pytest.raises(CheckpointError, match=reason):
            check_world(replace(spec, **changed), SPEC, "toy")  # type: ignore[arg-type]


def test_ray_is_asked_for_by_name_where_it_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert "pip install 'samg_ros[ray]'" in refused(["--ray", "auto"], tmp_path, capsys)
