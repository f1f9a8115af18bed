"""Checkpoints survive a round trip, and every unusable one is refused with its reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from policies.base import Observation
from policies.networks import StudentNet, StudentNetConfig
from policies.preprocessing import StudentPreprocessing
from policies.student.policy import StudentPolicy
from samg_ros.errors import CheckpointError
from samg_ros.io.checkpoint import TrainingRecord
from samg_ros.robot import PolicySpec
from sim_bridge.experts.state import (
    ExpertTeacher,
    Normalizer,
    StateNet,
    StateNetConfig,
    StateTeacher,
)

SPEC = PolicySpec(
    task="toy",
    camera="top",
    image_size=96,
    frame_stack=2,
    joint_names=("a", "b", "c"),
    actuated_joints=("a", "b"),
    command_mode="position",
    command_low=(-1.0, -2.0),
    command_high=(1.0, 2.0),
    control_dt_s=0.02,
)
RECORD = TrainingRecord("samg train student toy", 3, 12.5, {"oracle": 1.0}, "0.1.0")
OBSERVATION = Observation(np.full((96, 96, 3), 90, np.uint8), np.array([0.1, 0.2, 0.3]))


@pytest.fixture
def student() -> StudentPolicy:
    torch.manual_seed(0)
    network = StudentNet(StudentNetConfig(84, 2, joints=3, actions=2))
    normalizer = Normalizer((0.0, 0.1, 0.2), (1.0, 1.0, 2.0))
    return StudentPolicy(SPEC, StudentPreprocessing(84, 2, normalizer), network)


@pytest.fixture
def path(student: StudentPolicy, tmp_path: Path) -> Path:
    path = tmp_path / "new" / "toy.safetensors"
    student.save(path, RECORD)
    return path


def rewrite(path: Path, change: Callable[[dict[str, str]], object]) -> None:
    """Change a checkpoint's metadata."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    change(metadata)
    save_file(load_file(path), path, metadata)


def test_round_trip(student: StudentPolicy, path: Path) -> None:
    loaded = StudentPolicy.load(path, "toy")
    assert loaded.spec == SPEC and loaded.preprocessing == student.preprocessing
    np.testing.assert_allclose(loaded.act(OBSERVATION), student.act(OBSERVATION), atol=1e-3)
    # What is scored, the loaded policy, is to the bit what ships.
    loaded.save(path, RECORD)
    again = StudentPolicy.load(path, "toy")
    loaded.reset()
    np.testing.assert_array_equal(again.act(OBSERVATION), loaded.act(OBSERVATION))


def test_teacher_round_trip(tmp_path: Path) -> None:
    normalizer = Normalizer((0.0,) * 5, (1.0,) * 5)
    teacher = StateTeacher(SPEC, normalizer, StateNet(StateNetConfig(5, 2, 16)))
    path = tmp_path / "teacher.safetensors"
    teacher.save(path, RECORD)
    state = np.linspace(-1, 1, 5)
    np.testing.assert_array_equal(
        StateTeacher.load(path, "toy").label(state), teacher.label(state)
    )
    with pytest.raises(CheckpointError, match="holds a teacher, a student is needed"):
        StudentPolicy.load(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        StudentPolicy.load(tmp_path / "nothing.safetensors")


@pytest.mark.parametrize("keep", [0, 5, 400, -1])
def test_truncated_file(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="truncated or not a checkpoint"):
        StudentPolicy.load(path)


def test_foreign_safetensors_file(path: Path) -> None:
    save_file({"x": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match="not a policy checkpoint"):
        StudentPolicy.load(path)


def test_other_format_version(path: Path) -> None:
    rewrite(path, lambda metadata: metadata.update(format_version="0"))
    with pytest.raises(CheckpointError, match="format version 0, this release reads 1"):
        StudentPolicy.load(path)


def test_other_task(path: Path) -> None:
    with pytest.raises(CheckpointError, match="trained for task 'toy', not for 'adroit_pen'"):
        StudentPolicy.load(path, "adroit_pen")


@pytest.mark.parametrize("section", ["network", "spec", "preprocessing", "record"])
def test_missing_section(path: Path, section: str) -> None:
    rewrite(path, lambda metadata: metadata.pop(section))
    with pytest.raises(CheckpointError, match=f"lacks the section '{section}'"):
        StudentPolicy.load(path)


@pytest.mark.parametrize(
    ("section", "old", "new", "reason"),
    [
        ("spec", '"camera"', '"lens"', "spec lacks camera"),
        ("record", '"seed": 3', '"seed": 3, "extra": 1', "record has unknown extra"),
        ("preprocessing", '"joints"', '"limbs"', "preprocessing lacks joints"),
        ("preprocessing", "0.1, ", "", "as many means"),
        ("network", '"hidden": 256', '"hidden": 255', "weights do not fit"),
        ("network", '"joints": 3', '"joints": 4', "disagree"),
        ("network", "{", "", "is not JSON"),
    ],
)
def test_damaged_section(path: Path, section: str, old: str, new: str, reason: str) -> None:
    def damage(metadata: dict[str, str]) -> None:
        assert old in metadata[section]
        metadata[section] = metadata[section].replace(old, new)

    rewrite(path, damage)
    with pytest.raises(CheckpointError, match=reason):
        StudentPolicy.load(path)


def test_missing_weight(path: Path) -> None:
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    weights = load_file(path)
    weights.pop("head.0.bias")
    save_file(weights, path, metadata)
    with pytest.raises(CheckpointError, match=r"(?s)weights do not fit.*head\.0\.bias"):
        StudentPolicy.load(path)


def test_expert_file_without_its_arrays(tmp_path: Path) -> None:
    path = tmp_path / "expert.npz"
    np.savez(path, w0=np.zeros((2, 2)))
    with pytest.raises(CheckpointError, match="not an expert file"):
        ExpertTeacher(path)
    path.write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(CheckpointError, match="not an expert file"):
        ExpertTeacher(path)


def test_weights_too_large_for_float16_are_kept_whole(student: StudentPolicy, path: Path) -> None:
    with torch.no_grad():
        student.network.head[0].weight[0, 0] = 1e6
    student.save(path, RECORD)
    read = StudentPolicy.load(path).network.head[0].weight
    assert read[0, 0] == 1e6
    assert load_file(path)["head.2.weight"].dtype == torch.float16  # the others still fit
