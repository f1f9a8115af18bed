"""What every registered task, alone and in a scene, must do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from kinds import quick

from samg_ros.errors import SimulationError
from sim_bridge.perturbations.grammar import make_perturbation
from sim_bridge.scenes.scene import Scene
from sim_bridge.task import StepResult, Task, make_task, tasks

# The renderer comes first: it chooses the OpenGL backend before mujoco is imported.
for module in ("sim_bridge.render.renderer", "dm_control", "gymnasium_robotics", "skimage"):
    pytest.importorskip(module, reason="needs the [sim] extra", exc_type=ModuleNotFoundError)

HEIGHT, WIDTH = 48, 64


@pytest.fixture(scope="module", params=quick(tasks.names()))
def task(request: pytest.FixtureRequest) -> Iterator[Task]:
    task = make_task(request.param, height=HEIGHT, width=WIDTH)
    yield task
    task.close()


def actions(task: Task, steps: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (steps, task.spec.action_size))


def act(task: Task, action: np.ndarray) -> StepResult:
    return task.step(task.spec.action_to_command(action))


def episode(task: Task, seed: int, *, render: bool) -> list[np.ndarray]:
    """Everything five steps of an episode show, as arrays to compare bit for bit."""
    seen: list[np.ndarray] = []
    result = task.reset(seed)
    for action in actions(task, 5):
        joints = task.joint_state()
        seen += [result.state, np.array([result.reward, result.time_s])]
        seen += [joints.position, joints.velocity]
        if render:
            seen += [task.render(), task.segmentation()]
        result = act(task, action)
    return [array.copy() for array in seen]


def assert_same(first: list[np.ndarray], second: list[np.ndarray]) -> None:
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_spec_is_consistent(task: Task) -> None:
    spec = task.spec
    assert len(spec.command_low) == len(spec.command_high) == spec.action_size
    if spec.command_mode == "position":  # who holds a position must be able to read it
        assert set(spec.actuated_joints) <= set(spec.joint_names)
    assert set(spec.proprioception) <= set(spec.joint_names)
    assert len(set(spec.joint_names)) == len(spec.joint_names)
    assert len(set(spec.targets)) == len(spec.targets) > 0
    assert spec.default_camera in spec.cameras
    assert spec.control_dt_s > 0 and spec.action_repeat > 0 and spec.episode_steps > 0
    assert np.all(np.array(spec.command_low) < np.array(spec.command_high))


def test_shapes_and_dtypes(task: Task) -> None:
    first = task.reset(0)
    second = act(task, np.zeros(task.spec.action_size))
    for result in (first, second):
        assert isinstance(result, StepResult)
        assert result.state.dtype == np.float64 and result.state.ndim == 1
        assert type(result.reward) is float
        assert type(result.success) is (bool if task.spec.tells_success else type(None))
        assert not result.done
    assert (first.step, second.step) == (0, 1)
    assert second.time_s - first.time_s == pytest.approx(task.spec.control_dt_s)
    joints = task.joint_state()
    assert joints.position.shape == joints.velocity.shape == (len(task.spec.joint_names),)
    assert joints.position.dtype == joints.velocity.dtype == np.float64
    for camera in (None, *task.spec.cameras):
        rgb, targets = task.render(camera), task.segmentation(camera)
        assert rgb.shape == (HEIGHT, WIDTH, 3) and rgb.dtype == np.uint8
        assert targets.shape == (HEIGHT, WIDTH) and targets.dtype == np.uint8
        assert 0 < task.camera_fovy_rad(camera) < np.pi


def test_same_seed_gives_the_same_episode(task: Task) -> None:
    first = episode(task, 5, render=True)
    other = episode(task, 6, render=True)
    assert_same(first, episode(task, 5, render=True))
    assert any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_a_new_object_gives_the_same_episode(task: Task) -> None:
    fresh = make_task(task.spec.name, height=HEIGHT, width=WIDTH)
    try:
        assert fresh.spec == task.spec
        assert_same(episode(task, 7, render=True), episode(fresh, 7, render=True))
    finally:
        fresh.close()


def test_rendering_never_changes_the_physics(task: Task) -> None:
    blind = episode(task, 3, render=False)
    seeing = episode(task, 3, render=True)
    without_pictures = [array for i, array in enumerate(seeing) if i % 6 < 4]
    assert_same(blind, without_pictures)


def test_results_are_not_overwritten_by_later_steps(task: Task) -> None:
    result, joints, rgb = task.reset(0), task.joint_state(), task.render()
    kept = result.state.copy(), joints.position.copy(), rgb.copy()
    act(task, actions(task, 1)[0])
    task.render()
    assert_same(list(kept), [result.state, joints.position, rgb])


@pytest.mark.parametrize("wrong", ["shape", "nan", "inf"])
def test_bad_commands_are_refused_and_change_nothing(task: Task, wrong: str) -> None:
    task.reset(0)
    command = task.spec.action_to_command(np.zeros(task.spec.action_size))
    bad = command[:-1] if wrong == "shape" else command + float(wrong)
    before = task.joint_state().position
    with pytest.raises(SimulationError, match="command"):
        task.step(bad)
    np.testing.assert_array_equal(task.joint_state().position, before)


def test_commands_beyond_the_limits_are_clipped(task: Task) -> None:
    low, high = task.spec.command_limits
    task.reset(0)
    task.step(high + 2 * (high - low))
    clipped = task.joint_state().position
    task.reset(0)
    task.step(high)
    np.testing.assert_array_equal(task.joint_state().position, clipped)


def test_bad_seed_is_refused(task: Task) -> None:
    with pytest.raises(SimulationError, match="seed"):
        task.reset(-1)


def test_action_command_round_trip(task: Task) -> None:
    for action in actions(task, 5):
        command = task.spec.action_to_command(action)
        assert np.all(command >= task.spec.command_low)
        assert np.all(command <= task.spec.command_high)
        np.testing.assert_allclose(task.spec.command_to_action(command), action, atol=1e-12)
    with pytest.raises(SimulationError, match="an action has shape"):
        task.spec.action_to_command(np.zeros(task.spec.action_size + 1))


def test_every_target_is_visible_after_reset(task: Task) -> None:
    visible: set[int] = set()
    for seed in range(5):
        task.reset(seed)
        ids = set(np.unique(task.segmentation()).tolist())
        assert ids <= set(range(len(task.spec.targets) + 1))
        visible |= ids
    assert visible == set(range(len(task.spec.targets) + 1))


def test_unknown_camera_lists_the_choices(task: Task) -> None:
    task.reset(0)
    for call in (task.render, task.segmentation, task.camera_fovy_rad):
        with pytest.raises(SimulationError, match=task.spec.default_camera):
            call("nowhere")


def test_an_episode_ends_and_wants_a_reset(task: Task) -> None:
    task.reset(0)
    command = np.mean(task.spec.command_limits, axis=0)
    done = [task.step(command).done for _ in range(task.spec.episode_steps)]
    assert done[-1] and not any(done[:-1])
    with pytest.raises(SimulationError, match="reset"):
        task.step(command)


def test_tasks_of_different_size_do_not_disturb_each_other(task: Task) -> None:
    task.reset(0)
    before = [task.render(), task.segmentation()]
    other = make_task("walker_walk", height=100, width=30)
    other.reset(0)
    assert other.segmentation().shape == (100, 30)
    assert_same(before, [task.render(), task.segmentation()])
    other.close()
    other.close()
    assert_same(before, [task.render(), task.segmentation()])
    with pytest.raises(SimulationError, match="closed"):
        other.render()


def test_scene_shows_the_task_as_it_is(task: Task) -> None:
    scene = Scene(task, make_perturbation("none", task.spec.name))
    scene.reset(0)
    scene.act(actions(task, 1)[0])
    frame = scene.observe()
    assert frame.rgb.shape == (HEIGHT, WIDTH, 3) and frame.rgb.dtype == np.uint8
    assert frame.step == 1
    assert frame.stamp_ns == round(task.spec.control_dt_s * 1e9)
    assert frame.fovy_rad == task.camera_fovy_rad()
    np.testing.assert_array_equal(frame.rgb, task.render())
    np.testing.assert_array_equal(frame.targets, task.segmentation())


def test_scene_wants_a_reset_first(task: Task) -> None:
    with pytest.raises(SimulationError, match="reset"):
        Scene(task).observe()


def test_the_door_stays_a_success_once_opened() -> None:
    """Driven by a published state expert (DAPG), which opens it in about 28 of 100 steps."""
    weights = Path(__file__).parents[3] / "shared" / "data" / "adroit_experts" / "door.npz"
    if not weights.exists():
        pytest.skip("the expert lies in ../shared/data/adroit_experts, which is not here")
    expert = np.load(weights)
    task = make_task("adroit_door", height=8, width=8)
    result, successes = task.reset(0), []
    while not result.done:
        x = (result.state - expert["in_shift"]) / (expert["in_scale"] + 1e-8)
        for layer in "01":
            x = np.tanh(expert[f"w{layer}"] @ x + expert[f"b{layer}"])
        action = (expert["w2"] @ x + expert["b2"]) * expert["out_scale"] + expert["out_shift"]
        result = act(task, action)
        successes.append(result.success)
    assert not successes[0]
    assert 20 < successes.index(True) < 40 and all(successes[40:])
    assert task.reset(1).success is False
    task.close()
