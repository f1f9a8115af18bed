"""The arm that lifts a peg: its robot, its two kinds of commands, its goal and its expert."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from samg_ros.errors import CheckpointError

# The renderer comes first: it chooses the OpenGL backend before mujoco is imported.
pytest.importorskip("sim_bridge.render.renderer", reason="needs the [sim] extra")
mujoco = pytest.importorskip("mujoco", reason="needs the [sim] extra")
pytest.importorskip("gymnasium_robotics", reason="needs the [sim] extra")

from policies.rollout import evaluate_states
from policies.training import VALIDATION_SEEDS
from sim_bridge.experts.arm import SCRIPTED_TASKS
from sim_bridge.experts.state import has_teacher, shipped_teacher
from sim_bridge.task import make_task
from sim_bridge.tasks.arm.control import (
    TCP_STEP_M,
    TcpKinematics,
    rotation_matrix,
    rotation_vector,
)
from sim_bridge.tasks.arm.panda import ARM_LIMITS, TCP
from sim_bridge.tasks.arm.scene import CAMERA, build_arm_scene, look_at
from sim_bridge.tasks.arm.state import ArmState
from sim_bridge.tasks.arm.task import ArmTask

JOINTS, GRIPPER = "arm_lift_peg_upright", "arm_lift_peg_upright_ee"
REST = np.array([0, np.pi / 8, 0, -5 * np.pi / 8, 0, 3 * np.pi / 4, np.pi / 4])


@pytest.fixture(params=[JOINTS, GRIPPER])
def task(request: pytest.FixtureRequest) -> Iterator[ArmTask]:
    task = make_task(request.param, height=64, width=64)
    yield task
    task.close()


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return build_arm_scene()


def test_joints_mean_what_they_mean_on_a_real_panda(model: mujoco.MjModel) -> None:
    """Its resting pose holds the hand 0.615 m in front of the base, pointing straight down."""
    position, rotation = TcpKinematics(model).pose(REST)
    np.testing.assert_allclose(position, [0, 0, 0.1698], atol=1e-4)
    np.testing.assert_allclose(rotation, np.diag([1, -1, -1]), atol=1e-6)
    limits = [model.joint(f"panda_joint{i}").range for i in range(1, 8)]
    np.testing.assert_array_equal(limits, ARM_LIMITS)


def test_inverse_kinematics_reaches_a_pose_and_stays_within_the_limits(
    model: mujoco.MjModel,
) -> None:
    kinematics = TcpKinematics(model)
    goal = np.array([0.05, -0.1, 0.12]), rotation_matrix(np.array([0.3, -0.2, 0.4]))
    goal = goal[0], goal[1] @ np.diag([1.0, -1, -1])
    position, rotation = kinematics.pose(kinematics.solve(REST, *goal))
    np.testing.assert_allclose(position, goal[0], atol=1e-3)
    np.testing.assert_allclose(rotation_vector(rotation @ goal[1].T), 0, atol=1e-3)
    too_far = kinematics.solve(REST, np.array([2.0, 0, 1]), goal[1])
    low, high = np.array(ARM_LIMITS).T
    assert np.all(too_far >= low) and np.all(too_far <= high)


def test_the_camera_looks_where_it_should(model: mujoco.MjModel) -> None:
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    axes = data.camera(CAMERA).xmat.reshape(3, 3)
    forward = np.array([-0.4, 0, -0.5]) / np.hypot(0.4, 0.5)
    np.testing.assert_allclose(-axes[:, 2], forward, atol=1e-9)
    assert axes[2, 1] > 0 and abs(axes[2, 0]) < 1e-9  # upright, not tilted
    np.testing.assert_allclose(look_at((0, 0, 0), (0, 1, 0)), [0.5**0.5, 0.5**0.5, 0, 0])


def test_state_and_its_vector_are_the_same(task: ArmTask) -> None:
    vector = task.reset(0).state
    state = ArmState.from_vector(vector)
    np.testing.assert_allclose(state.vector(), vector, atol=1e-12)
    np.testing.assert_allclose(state.joints, task.joint_state().position)
    np.testing.assert_allclose(state.tcp, task._data.site(TCP).xpos, atol=1e-12)
    assert state.peg[2] == 0.025 and state.finger_target == 0.04


def test_resets_are_drawn_as_the_benchmark_draws_them(task: ArmTask) -> None:
    states = [ArmState.from_vector(task.reset(seed).state) for seed in range(60)]
    pegs = np.array([state.peg for state in states])
    assert np.all(np.abs(pegs[:, :2]) <= 0.1) and np.all(pegs[:, :2].std(0) > 0.04)
    noise = np.array([state.joints[:7] for state in states]) - REST
    assert noise.std() == pytest.approx(0.02, rel=0.15)
    assert all(abs(state.peg_rotation[2, 0]) < 1e-9 for state in states)


def test_a_held_joint_target_is_reached_and_gravity_does_not_sag() -> None:
    task = make_task(JOINTS, height=8, width=8)
    task.reset(0)
    command = np.append(REST + 0.2, 0.01)
    for _ in range(40):
        task.step(command)
    np.testing.assert_allclose(task.joint_state().position[:7], REST + 0.2, atol=1e-3)
    np.testing.assert_allclose(task.joint_state().position[7:], 0.01, atol=1e-3)
    task.close()


@pytest.mark.parametrize("axis", range(3))
def test_a_velocity_moves_the_gripper_straight_and_zero_holds_it(axis: int) -> None:
    task = make_task(GRIPPER, height=8, width=8)
    start = ArmState.from_vector(task.reset(0).state)
    action = np.zeros(7)
    action[axis] = -0.5 if axis == 2 else 0.5
    for _ in range(4):
        state = ArmState.from_vector(task.step(task.spec.action_to_command(action)).state)
    moved = (state.tcp - start.tcp) * np.sign(action[axis])
    assert 0.5 * TCP_STEP_M < moved[axis] < 2 * TCP_STEP_M
    assert np.abs(np.delete(moved, axis)).max() < 0.1 * moved[axis]
    for _ in range(20):
        state = ArmState.from_vector(task.step(np.zeros(7)).state)
    assert np.abs(state.speeds).max() < 1e-3
    task.close()


def test_a_turn_keeps_the_gripper_in_place() -> None:
    task = make_task(GRIPPER, height=8, width=8)
    start = ArmState.from_vector(task.reset(0).state)
    for _ in range(8):
        command = task.spec.action_to_command(np.array([0, 0, 0, 0, 0, 0.8, 0]))
        state = ArmState.from_vector(task.step(command).state)
    turn = rotation_vector(state.tcp_rotation @ start.tcp_rotation.T)
    assert turn[2] > 0.15 and np.abs(turn[:2]).max() < 0.02
    np.testing.assert_allclose(state.tcp, start.tcp, atol=0.005)
    task.close()


def _put_peg(task: ArmTask, height: float, pitch: float) -> None:
    """Where the next step finds the peg: behind the camera's back, out of the arm's reach."""
    lying = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])
    quat = np.zeros(4)
    turned = rotation_matrix(np.array([0, -pitch, 0])) @ lying
    mujoco.mju_mat2Quat(quat, turned.ravel())
    peg = task._data.joint("peg")
    peg.qpos[:], peg.qvel[:] = (0.2, 0.4, height, *quat), 0


@pytest.mark.parametrize("pitch", [np.pi / 2, -np.pi / 2])
def test_a_standing_peg_is_a_success_whichever_end_is_up(task: ArmTask, pitch: float) -> None:
    task.reset(0)
    _put_peg(task, 0.12, pitch)
    result = task.step(task.spec.action_to_command(np.zeros(task.spec.action_size)))
    assert result.success is True and result.reward == 1.0


@pytest.mark.parametrize("height, pitch", [(0.025, 0.0), (0.3, np.pi / 2), (0.16, 1.0)])
def test_any_other_peg_is_not(task: ArmTask, height: float, pitch: float) -> None:
    task.reset(0)
    _put_peg(task, height, pitch)
    result = task.step(task.spec.action_to_command(np.zeros(task.spec.action_size)))
    assert result.success is False and 0 < result.reward < 1


def test_the_grasp_is_rewarded_and_the_expert_gets_more_and_more(task: ArmTask) -> None:
    expert = shipped_teacher(task.spec.name)
    result, rewards, grasped = task.reset(VALIDATION_SEEDS[0]), [], []
    while not (result.success or result.done):
        result = task.step(task.spec.action_to_command(expert.label(result.state)))
        rewards.append(result.reward)
        grasped.append(task._grasped())
    assert result.success and rewards[-1] == 1.0
    first = grasped.index(True)
    assert first > 5 and rewards[first] > max(rewards[:first])
    assert np.mean(rewards[first:]) > np.mean(rewards[:first]) + 0.2


def test_the_expert_stands_the_peg_up_and_needs_the_state_alone(task: ArmTask) -> None:
    expert = shipped_teacher(task.spec.name)
    results = evaluate_states(expert.label, task, VALIDATION_SEEDS[:6])
    assert results.success_rate == 1.0
    action = expert.label(task.reset(0).state)
    assert action.dtype == np.float32 and action.shape == (task.spec.action_size,)
    assert np.all(np.abs(action) <= 1)
    np.testing.assert_array_equal(action, expert.label(task.reset(0).state))


def test_the_expert_goes_on_from_where_a_learner_has_got_to(task: ArmTask) -> None:
    """Noise on every action, and ten steps of another will in the midst."""
    expert, rng = shipped_teacher(task.spec.name), np.random.default_rng(0)
    noise = 0.005 if task.spec.command_mode == "position" else 0.1
    successes = 0
    for seed in VALIDATION_SEEDS[:4]:
        result = task.reset(seed)
        while not (result.success or result.done):
            action = expert.label(result.state) + rng.normal(0, noise, task.spec.action_size)
            if 12 <= result.step < 22 and task.spec.command_mode == "velocity":
                action = rng.uniform(-0.3, 0.3, task.spec.action_size)
            result = task.step(task.spec.action_to_command(action))
        successes += bool(result.success)
    assert successes >= 3


def test_scripts_are_teachers_and_other_tasks_say_that_they_have_none() -> None:
    assert all(has_teacher(task) for task in SCRIPTED_TASKS)
    assert not has_teacher("cartpole_balance")
    with pytest.raises(CheckpointError, match="cartpole_balance"):
        shipped_teacher("cartpole_balance")
