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
from samg_ros.io.checkpoint import TrainingRecord, digest_of
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
    store(load_file(path), path, metadata)


def store(weights: dict[str, torch.Tensor], path: Path, metadata: dict[str, str]) -> None:
    """With a checksum that is right: what is wrong is what the test is about."""
    save_file(weights, path, metadata | {"sha256": digest_of(metadata, weights)})


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
    with pytest.raises(CheckpointError, match="format version 0, this release reads 1 and 2"):
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
        (
            "network",
            '"hidden": 256',
            '"hidden": 999999999999',
            "do not fit|cannot be built",
        ),
        ("network", '"hidden": 256', '"hidden": "256"', "hidden cannot be"),
        ("network", '"hidden": 256', '"hidden": -1', "do not fit|cannot be built"),
        ("network", '"motion": false', '"motion": 0', "motion cannot be"),
        ("spec", '"control_dt_s": 0.02', '"control_dt_s": NaN', "NaN is no number"),
        ("spec", '"control_dt_s": 0.02', '"control_dt_s": 1e999', "control_dt_s cannot be"),
        ("spec", '"control_dt_s": 0.02', '"control_dt_s": -1', "a control step of -1 s cannot be"),
        ("spec", '"image_size": 96', '"image_size": 1000000000', "cannot be"),
        ("spec", '"image_size": 96', '"image_size": "96"', "image_size cannot be"),
        ("spec", '"position"', '"power"', "command_mode cannot be 'power'"),
        ("spec", '["a", "b"]', '["a", "a"]', "joint 'a' is named twice"),
        ("spec", '["a", "b"]', "[1, 2]", "actuated_joints cannot be"),
        ("spec", '["a", "b"]', '["a", "b\\n"]', "actuated_joints cannot be"),
        ("spec", "[1.0, 2.0]", "[9.0, -9.0]", "not below its upper one"),
        ("spec", "[1.0, 2.0]", "[1.0, 1e30]", "lies beyond"),
        ("record", '{"oracle": 1.0}', '{"oracle": "all"}', "scores cannot be"),
        ("record", "{", "[" * 100_000 + "{", "is not JSON"),
        ("record", '"seed": 3', '"seed": 3' + " " * 2**20, "too long"),
    ],
)
def test_damaged_section(path: Path, section: str, old: str, new: str, reason: str) -> None:
    def damage(metadata: dict[str, str]) -> None:
        assert old in metadata[section]
        metadata[section] = metadata[section].replace(old, new)

    rewrite(path, damage)
    with pytest.raises(CheckpointError, match=reason):
        StudentPolicy.load(path)


def test_one_bit_of_the_weights(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1000] ^= 0x40
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="content is not what its checksum says"):
        StudentPolicy.load(path)


def test_another_specification_under_the_same_checksum(path: Path) -> None:
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    metadata["spec"] = metadata["spec"].replace("[1.0, 2.0]", "[1.0, 3.0]")
    save_file(load_file(path), path, metadata)
    with pytest.raises(CheckpointError, match="damaged"):
        StudentPolicy.load(path)


def test_an_earlier_release_s_file_has_no_checksum(path: Path) -> None:
    with safe_open(path, "pt") as file:
        metadata = file.metadata() | {"format_version": "1"}
    del metadata["sha256"]
    save_file(load_file(path), path, metadata)
    assert StudentPolicy.load(path).spec == SPEC


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(path: Path, bad: float) -> None:
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    weights = load_file(path)
    weights["head.0.bias"][1] = bad
    store(weights, path, metadata)
    with pytest.raises(CheckpointError, match=r"head\.0\.bias' hold NaN or infinity"):
        StudentPolicy.load(path)


def test_missing_weight(path: Path) -> None:
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    weights = load_file(path)
    weights.pop("head.0.bias")
    store(weights, path, metadata)
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
