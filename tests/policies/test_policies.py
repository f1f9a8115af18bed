"""What every policy keeps to: each registered one, and each checkpoint that ships."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from kinds import quick

from policies.base import Observation, Policy
from policies.checkpoints import shipped_raw_students, shipped_students
from policies.drqv2.networks import DrQV2Net, DrQV2NetConfig
from policies.drqv2.policy import DrQV2Policy
from policies.registry import load_policy, policies
from policies.student.policy import StudentPolicy
from samg_ros.errors import CheckpointError, ConfigError
from samg_ros.io.checkpoint import TrainingRecord, load_checkpoint
from sim_bridge.experts.state import StateTeacher, shipped_teachers

EVERY_POLICY = [
    (name, task)
    for task in shipped_students()
    for name in policies.names()
    if name != "raw_student" or task in shipped_raw_students()
]
EVERY_POLICY.append(("a drqv2 checkpoint", "adroit_door"))
MOST_BYTES = 4_000_000


def observations(policy: Policy, count: int) -> list[Observation]:
    """Random pictures and joint positions of the right sizes."""
    rng = np.random.default_rng(0)
    size, joints = policy.spec.image_size, len(policy.spec.joint_names)
    return [
        Observation(
            rng.integers(256, size=(size, size, 3), dtype=np.uint8),
            rng.normal(size=joints).astype(np.float32),
        )
        for _ in range(count)
    ]


@pytest.fixture(scope="module")
def loaded() -> dict[tuple[str, str], Policy]:
    """Policies by name and task, loaded once."""
    return {}


@pytest.fixture
def policy(name: str, task: str, loaded: dict[tuple[str, str], Policy], tmp_path: Path) -> Policy:
    if (name, task) not in loaded:
        known = name in policies.names()
        loaded[name, task] = load_policy(name if known else drqv2_file(tmp_path, task), task)
    return loaded[name, task]


def drqv2_file(folder: Path, task: str) -> Path:
    """A DrQ-v2 agent that has learnt nothing."""
    torch.manual_seed(0)
    spec = replace(load_policy("random", task).spec, image_size=96, frame_stack=3)
    network = DrQV2Net(DrQV2NetConfig(84, 3, len(spec.actuated_joints), hidden=64))
    record = TrainingRecord("samg train drqv2", 0, 0.0, {}, "source")
    path = folder / "agent.safetensors"
    DrQV2Policy(spec, network).save(path, record)
    return path


def test_something_ships() -> None:
    assert "adroit_door" in shipped_students() and "adroit_door" in shipped_teachers()


@pytest.mark.parametrize(("name", "task"), quick(EVERY_POLICY))
class TestEveryPolicy:
    def test_spec_is_complete(self, policy: Policy, task: str) -> None:
        spec = policy.spec
        assert spec.task == task and spec.camera and spec.control_dt_s > 0
        assert spec.joint_names and len(set(spec.joint_names)) == len(spec.joint_names)
        assert len(spec.actuated_joints) == len(spec.command_low) == len(spec.command_high)
        assert np.all(np.less(spec.command_low, spec.command_high))
        assert spec.command_mode in ("position", "velocity", "effort")

    def test_actions_have_the_right_shape_and_range(self, policy: Policy) -> None:
        policy.reset()
        for observation in observations(policy, 5):
            action = policy.act(observation)
            assert action.shape == (len(policy.spec.actuated_joints),)
            assert action.dtype == np.float32 and np.abs(action).max() <= 1

    def test_reset_starts_over(self, policy: Policy) -> None:
        steps = observations(policy, 6)
        policy.reset()
        first = [policy.act(observation) for observation in steps]
        policy.reset()
        np.testing.assert_array_equal(first, [policy.act(observation) for observation in steps])

    def test_inputs_are_not_changed(self, policy: Policy) -> None:
        observation = observations(policy, 1)[0]
        image, joints = observation.image.copy(), observation.joints.copy()
        policy.act(observation)
        np.testing.assert_array_equal(observation.image, image)
        np.testing.assert_array_equal(observation.joints, joints)

    def test_the_rest_of_the_process_keeps_its_threads(self, policy: Policy) -> None:
        before = torch.get_num_threads()
        torch.set_num_threads(2)
        try:
            policy.act(observations(policy, 1)[0])
            assert torch.get_num_threads() == 2
        finally:
            torch.set_num_threads(before)


@pytest.mark.parametrize("task", quick(shipped_students()))
class TestEveryShippedStudent:
    def test_is_small_and_tells_where_it_comes_from(self, task: str) -> None:
        path = shipped_students()[task]
        assert path.stat().st_size < MOST_BYTES
        record = load_checkpoint(path, kind="student", task=task).record
        names = {name.removesuffix("_return") for name in record.scores}
        assert task in record.command and names >= {"oracle", "none", "black"}

    def test_uses_earlier_frames_and_the_picture(self, task: str) -> None:
        policy = load_policy("student", task)
        one, two = observations(policy, 2)
        alone = policy.act(one)
        policy.reset()
        policy.act(Observation(two.image, one.joints))
        assert not np.array_equal(policy.act(one), alone)

    def test_truncated_copy_is_refused(self, task: str, tmp_path: Path) -> None:
        torn = tmp_path / "torn.safetensors"
        torn.write_bytes(shipped_students()[task].read_bytes()[:100_000])
        with pytest.raises(CheckpointError, match=r"torn\.safetensors: truncated"):
            load_policy(torn, task)

    def test_is_refused_for_another_task(self, task: str) -> None:
        with pytest.raises(CheckpointError, match=f"trained for task '{task}'"):
            load_policy(shipped_students()[task], "another_task")


@pytest.mark.parametrize("task", quick(shipped_raw_students()))
def test_every_raw_twin_is_one(task: str) -> None:
    path = shipped_raw_students()[task]
    assert path.stat().st_size < MOST_BYTES
    checkpoint = load_checkpoint(path, kind="student", task=task)
    assert checkpoint.spec.mask == "none" and "--mask none" in checkpoint.record.command
    names = {name.removesuffix("_return") for name in checkpoint.record.scores}
    assert names >= {"none", "none_clean", "teacher"}
    assert load_policy(path.stem, task).spec == checkpoint.spec


@pytest.mark.parametrize("task", quick(shipped_teachers()))
def test_every_shipped_teacher_labels_states(task: str) -> None:
    assert shipped_teachers()[task].stat().st_size < MOST_BYTES
    teacher = StateTeacher.shipped(task)
    size = len(teacher.state.mean)
    label = teacher.label(np.zeros(size))
    assert label.shape == (len(teacher.spec.actuated_joints),)
    assert label.dtype == np.float32 and np.abs(label).max() <= 1
    with pytest.raises(ConfigError, match=f"expects {size} values"):
        teacher.label(np.zeros(size + 1))


def test_a_drqv2_checkpoint_uses_earlier_frames_and_is_checked(tmp_path: Path) -> None:
    path = drqv2_file(tmp_path, "adroit_door")
    policy = load_policy(path, "adroit_door")
    one, two = observations(policy, 2)
    alone = policy.act(one)
    policy.reset()
    policy.act(two)
    assert not np.array_equal(policy.act(one), alone)
    with pytest.raises(CheckpointError, match="trained for task 'adroit_door'"):
        load_policy(path, "adroit_pen")
    with pytest.raises(CheckpointError, match="holds a drqv2, a student is needed"):
        StudentPolicy.load(path)
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(CheckpointError, match=r"torn\.safetensors: truncated"):
        load_policy(torn, "adroit_door")


def test_a_teacher_is_not_a_policy() -> None:
    path = shipped_teachers()["adroit_door"]
    with pytest.raises(CheckpointError, match="a student is needed"):
        load_policy(path, "adroit_door")


def test_the_front_door_takes_names_paths_and_tasks() -> None:
    import policies as front

    named = front.load("adroit_door")
    assert named.spec.task == "adroit_door" and front.load("student", "adroit_door") is not named
    assert front.load(shipped_students()["adroit_pen"]).spec.task == "adroit_pen"
    with pytest.raises(CheckpointError, match="adroit_pen"):
        front.load("adroit_door", "adroit_pen")
    with pytest.raises(ConfigError, match="unknown checkpoint 'student'"):
        front.load("student")
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        _ = front.lode  # type: ignore[attr-defined]


def test_unknown_names_list_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"random, raw_student, student, a .* \(adroit_door, "):
        load_policy("nonsense", "adroit_door")
    with pytest.raises(CheckpointError, match="there is one for: adroit_door"):
        load_policy("student", "cartpole_balance")
    with pytest.raises(ConfigError, match="unknown task"):
        load_policy("random", "nonsense")
    with pytest.raises(CheckpointError, match="holds a teacher, which does not act on pictures"):
        load_policy("adroit_door_teacher", "adroit_door")
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load_policy(Path("missing") / "x.safetensors", "adroit_door")


def test_policies_import_without_the_simulator_and_ros() -> None:
    """A robot's computer has neither mujoco nor, outside a node, rclpy."""
    code = (
        "import sys\n"
        "for name in ('mujoco', 'rclpy', 'matplotlib'): sys.modules[name] = None\n"
        "from policies.registry import load_policy\n"
        "load_policy('student', 'adroit_door')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
