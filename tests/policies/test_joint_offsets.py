"""Offsets from joint positions: there and back, limits, refusals, a student that uses them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from policies.base import Observation
from policies.networks import StudentNet, StudentNetConfig
from policies.preprocessing import StudentPreprocessing
from policies.student.config import StudentConfig
from policies.student.dagger import train_student
from policies.student.policy import JointOffsets, StudentPolicy
from samg_ros.errors import CheckpointError, ConfigError
from samg_ros.io.checkpoint import TrainingRecord
from samg_ros.robot import PolicySpec
from sim_bridge.experts.state import Normalizer

SPEC = PolicySpec(
    task="toy",
    camera="top",
    image_size=96,
    frame_stack=1,
    joint_names=("a", "b", "c"),
    actuated_joints=("c", "a"),
    command_mode="position",
    command_low=(-1.0, 0.0),
    command_high=(3.0, 2.0),
    control_dt_s=0.02,
)
OFFSETS = JointOffsets.of(SPEC, (0.1, 0.5))


def test_an_offset_of_nothing_commands_where_the_joints_are() -> None:
    joints = np.array([0.4, 9.0, 2.5])
    action = OFFSETS.action(np.zeros(2), joints)
    command = SPEC.action_to_command(action)
    np.testing.assert_allclose(command, [2.5, 0.4], atol=1e-6)


def test_an_offset_is_in_shares_of_its_scale_and_goes_back() -> None:
    joints = np.array([[1.0, 0.0, 1.0], [0.5, 0.0, 2.0]])
    offset = np.array([[0.5, -0.25], [-1.0, 1.0]])
    action = OFFSETS.action(offset, joints)
    np.testing.assert_allclose(action, [[0.05, -0.125], [0.4, 0.0]], atol=1e-6)
    np.testing.assert_allclose(OFFSETS.offset(action, joints), offset, atol=1e-5)


def test_both_are_clipped() -> None:
    joints = np.array([2.0, 0.0, 3.0])  # at the upper limits
    assert OFFSETS.action(np.ones(2), joints).tolist() == [1, 1]
    assert OFFSETS.offset(np.array([-1.0, -1.0]), joints).tolist() == [-1, -1]


def test_the_scale_is_the_farthest_that_was_commanded() -> None:
    joints = np.array([[1.0, 0.0, 1.0]] * 3)
    actions = np.array([[0.02, 0.0], [-0.2, 0.0], [0.1, 0.0]])
    fitted = JointOffsets.fit(SPEC, actions, joints)
    np.testing.assert_allclose(fitted.scale, [0.2, 1e-3])


@pytest.mark.parametrize(
    ("spec", "scale", "reason"),
    [
        (replace(SPEC, command_mode="velocity"), (1.0, 1.0), "its commands are of velocity"),
        (replace(SPEC, joint_names=("a", "b")), (1.0, 1.0), "unseen are c"),
        (SPEC, (1.0,), "a positive scale for each of 2 joints"),
        (SPEC, (1.0, 0.0), "a positive scale for each of 2 joints"),
    ],
)
def test_unusable_offsets_are_refused(
    spec: PolicySpec, scale: tuple[float, ...], reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        JointOffsets.of(spec, scale)


def make_student(scale: tuple[float, ...] | None) -> StudentPolicy:
    network = StudentNet(StudentNetConfig(84, 1, joints=3, actions=2, features=8, hidden=8))
    for parameter in network.head[-1].parameters():
        parameter.data.zero_()
    normalizer = Normalizer((0.0,) * 3, (1.0,) * 3)
    preprocessing = StudentPreprocessing(84, 1, normalizer, offset_scale=scale)
    return StudentPolicy(SPEC, preprocessing, network)


def test_a_student_s_checkpoint_keeps_its_offsets(tmp_path: Path) -> None:
    path = tmp_path / "toy.safetensors"
    make_student((0.1, 0.5)).save(path, TrainingRecord("samg train", 0, 1.0, {}, "0.1.0"))
    observation = Observation(np.zeros((96, 96, 3), np.uint8), np.array([0.4, 0.0, 2.5]))
    # A network that says nothing stays where it is, or with plain actions in the middle.
    action = StudentPolicy.load(path, "toy").act(observation)
    np.testing.assert_allclose(action, [0.75, -0.6], atol=1e-6)
    assert make_student(None).act(observation).tolist() == [0, 0]


def test_a_checkpoint_whose_offsets_do_not_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "toy.safetensors"
    student = make_student((0.1, 0.5))
    student.spec = replace(SPEC, command_mode="velocity")
    student.save(path, TrainingRecord("samg train", 0, 1.0, {}, "0.1.0"))
    with pytest.raises(CheckpointError, match=r"toy\.safetensors.*commands are of velocity"):
        StudentPolicy.load(path, "toy")


def test_a_task_without_position_commands_is_refused_before_training(tmp_path: Path) -> None:
    config = StudentConfig(offsets=True, runs=tmp_path)
    with pytest.raises(ConfigError, match="its commands are of effort"):
        train_student("cartpole_swingup", config, lambda *_: None)


def test_an_arm_is_taught_by_offsets(tmp_path: Path) -> None:
    config = StudentConfig(
        offsets=True,
        iterations=2,
        first_episodes=1,
        first_frames=8,
        episodes=1,
        round_frames=8,
        updates=2,
        max_steps=8,
        maskings=1,
        camera_size=84,
        evaluation_episodes=1,
        runs=tmp_path,
    )
    path = train_student("arm_lift_peg_upright", config, lambda *_: None)
    scale = StudentPolicy.load(path, "arm_lift_peg_upright").preprocessing.offset_scale
    assert scale and max(scale[:-1]) < 0.2, "a step moves the arm by a small part of its range"
