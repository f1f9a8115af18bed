"""Tasks as Gymnasium environments: the same episodes as a scene's, shown as a policy sees them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drqv2_fixtures import BlockTask, block_env

import sim_bridge
from samg_ros.errors import ConfigError, SimulationError

# The renderer comes first: it chooses the OpenGL backend before mujoco is imported.
for module in ("sim_bridge.render.renderer", "dm_control", "gymnasium_robotics", "skimage"):
    pytest.importorskip(module, reason="needs the [sim] extra", exc_type=ModuleNotFoundError)

import gymnasium
from gymnasium.utils.env_checker import check_env

from sim_bridge.envs.env import KEYS, SamgEnv
from sim_bridge.scenes.scene import Scene, make_scene
from sim_bridge.scenes.views import EpisodeView, area_resize
from sim_bridge.task import tasks

ONE_OF_EACH_KIND = ("adroit_door", "arm_lift_peg_upright", "cartpole_swingup")
SIDE = 48


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    return subprocess.run(
        [sys.executable, "-c", code], check=True, timeout=120, capture_output=True, text=True
    ).stdout


def check(task: str) -> None:
    options = {"camera_size": SIDE, "size": 32, "masks": "oracle+noise"}
    env = gymnasium.make(f"samg/{task}-v0", render_mode="rgb_array", **options)
    try:
        check_env(env.unwrapped)
        spec = env.unwrapped.task_spec  # type: ignore[attr-defined]
        assert spec.name == task
        observation, info = env.reset(seed=3)
        assert set(observation) == set(KEYS) and info == {"success": False}
        assert observation["joints"].shape == (len(spec.proprioception),)
        picture = env.render()
        assert isinstance(picture, np.ndarray) and picture.shape == (SIDE, SIDE, 3)
    finally:
        env.close()


@pytest.mark.filterwarnings("ignore:.*A Box observation space")
@pytest.mark.parametrize("task", ONE_OF_EACH_KIND)
def test_gymnasium_finds_nothing_wrong(task: str) -> None:
    check(task)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*A Box observation space")
@pytest.mark.parametrize("task", sorted(set(sim_bridge.TASKS) - set(ONE_OF_EACH_KIND)))
def test_gymnasium_finds_nothing_wrong_with_any_task(task: str) -> None:
    check(task)


def test_every_task_is_registered() -> None:
    assert tasks.names() == sim_bridge.TASKS
    ids = {f"samg/{task}-v0" for task in sim_bridge.TASKS}
    assert ids <= set(gymnasium.registry)


@pytest.mark.parametrize("first", ["sim_bridge", "gymnasium"])
def test_ids_are_known_whichever_is_imported_first(first: str) -> None:
    code = (
        f"import sys, {first}\n"
        "seen = set(sys.modules)\n"
        "import gymnasium, sim_bridge\n"
        "assert 'mujoco' not in sys.modules\n"
        "print(gymnasium.spec('samg/walker_walk-v0').kwargs['task'], *seen)\n"
    )
    task, *loaded = run(code).split()
    assert task == "walker_walk"
    if first == "sim_bridge":
        assert not {"gymnasium", "numpy", "mujoco"} & set(loaded)


def test_an_environment_is_made_as_the_readme_says(tmp_path: Path) -> None:
    import cv2

    cv2.imwrite(str(tmp_path / "green.png"), np.full((32, 32, 3), (10, 250, 20), np.uint8))
    env = gymnasium.make(
        "samg/adroit_door-v0", perturb=f"video_hard={tmp_path}", size=84, masks="oracle"
    )
    observation, _ = env.reset(seed=0)
    env.close()
    rgb, mask = observation["rgb"], observation["mask"]
    assert rgb.shape == (84, 84, 3) and mask.shape == (84, 84)
    assert 0.02 < (mask > 0).mean() < 0.8 and not rgb[mask == 0].all(axis=1).all()


@pytest.mark.parametrize("masks", ["none", "oracle", "oracle+noise", "black"])
def test_an_episode_is_the_scene_s_and_the_policy_sees_its_view(masks: str) -> None:
    perturb = "noise"
    scene = make_scene("adroit_door", height=SIDE, width=SIDE, perturb=perturb)
    options = {"camera_size": SIDE, "perturb": perturb, "masks": masks, "stop_on_success": False}
    env = sim_bridge.make("adroit_door", size=32, **options)
    plain = sim_bridge.make("adroit_door", size=SIDE, keys=("rgb",), **options)
    view, rng = EpisodeView(masks, 7), np.random.default_rng(0)
    observation, _ = env.reset(seed=7)
    alone, _ = plain.reset(seed=7)
    result, reward = scene.reset(7), 0.0
    for step in range(4):
        frame = scene.observe()
        shown = view(frame.rgb, frame.targets)
        np.testing.assert_array_equal(observation["rgb"], area_resize(shown, 32))
        np.testing.assert_array_equal(alone["rgb"], shown)
        assert set(np.unique(observation["mask"])) <= set(np.unique(frame.targets))
        np.testing.assert_array_equal(observation["state"], result.state)
        position = scene.task.joint_state().position
        own = [scene.task.spec.joint_names.index(n) for n in scene.task.spec.proprioception]
        np.testing.assert_array_equal(observation["joints"], position[own].astype(np.float32))
        assert reward == result.reward, step
        action = rng.uniform(-1, 1, env.action_space.shape).astype(np.float32)
        result = scene.act(action)
        observation, reward, terminated, truncated, _ = env.step(action)
        alone = plain.step(action)[0]
        assert not terminated and not truncated
    for one in (scene, env, plain):
        one.close()


def test_what_nobody_asked_for_is_not_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    for name in ("render", "segmentation"):
        draw: Callable = getattr(BlockTask, name)
        monkeypatch.setattr(
            BlockTask,
            name,
            lambda *a, _n=name, _d=draw, **k: (drawn.append(_n), _d(*a, **k))[1],
        )

    def rendered(**options: Any) -> set[str]:
        drawn.clear()
        env = block_env(**options)
        observation, _ = env.reset(seed=0)
        env.step(np.zeros(1))
        assert tuple(observation) == options["keys"]
        return set(drawn)

    # The toy draws its picture with the help of its segmentation.
    monkeypatch.setattr(BlockTask, "render", lambda *a: (drawn.append("render"), PICTURE)[1])
    assert rendered(keys=("state", "joints")) == set()
    assert rendered(keys=("rgb",)) == {"render"}
    assert rendered(keys=("rgb",), masks="oracle") == {"render", "segmentation"}
    assert rendered(keys=("joints", "mask")) == {"render", "segmentation"}


PICTURE = np.zeros((32, 32, 3), np.uint8)


def test_an_episode_ends_at_its_limit_and_then_waits() -> None:
    env = block_env()
    env.reset(seed=0)
    ends = [env.step(np.ones(1))[2:4] for _ in range(env.task_spec.episode_steps)]
    assert ends[-1] == (False, True) and set(ends[:-1]) == {(False, False)}
    before = env.step(np.ones(1))
    after = env.step(-np.ones(1))
    assert before[1] == after[1] == 0.0 and after[2:4] == (False, True)
    for key, value in before[0].items():
        np.testing.assert_array_equal(value, after[0][key])
    env.reset(seed=1)
    assert env.step(np.ones(1))[2:4] == (False, False)


@pytest.mark.parametrize("stops", [True, False])
def test_a_success_is_told_and_ends_the_episode_if_asked_to(stops: bool) -> None:
    from sim_bridge.experts.state import shipped_teacher

    options = {"keys": ("state",), "camera_size": 16, "size": 16, "stop_on_success": stops}
    env = sim_bridge.make("adroit_door", **options)
    teacher = shipped_teacher("adroit_door")
    observation, _ = env.reset(seed=0)
    over, succeeded, steps = False, [], 0
    while not over:
        action = teacher.label(observation["state"])
        observation, _, terminated, truncated, info = env.step(action)
        over, steps = terminated or truncated, steps + 1
        succeeded.append(info["success"])
    env.close()
    assert succeeded.index(True) < 40
    assert (terminated, truncated) == (stops, not stops)
    assert steps == (succeeded.index(True) + 1 if stops else env.task_spec.episode_steps)


def test_seeds_repeat_and_without_one_an_episode_is_drawn() -> None:
    env = block_env(keys=("state",))
    first, second, third = (env.reset(seed=seed)[0]["state"] for seed in (5, None, None))
    again = [env.reset(seed=seed)[0]["state"] for seed in (5, None, None)]
    assert [first, second, third] == again and len({float(s[0]) for s in again}) == 3
    for seed in (-1, 2**32):
        with pytest.raises(SimulationError, match="seed must be in"):
            env.reset(seed=seed)


def test_other_joints_can_be_asked_for() -> None:
    env = sim_bridge.make("adroit_door", keys=("joints",), joint_names=("latch", "ARTz"))
    observation, _ = env.reset(seed=0)
    state = env.scene.task.joint_state().position
    expected = [state[env.task_spec.joint_names.index(name)] for name in ("latch", "ARTz")]
    np.testing.assert_array_equal(observation["joints"], np.array(expected, np.float32))
    env.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"masks": "samg"}, "masks is 'samg'; choose one of: oracle"),
        ({"size": 300}, "size is 300, more than camera_size 256"),
        ({"size": 0}, "size is 0; it must be within 1 to 2048"),
        ({"keys": ("rgb", "depth")}, r"keys is .*; name some of: rgb, mask"),
        ({"keys": []}, "name some of"),
        ({"mask": "oracle"}, "unknown option 'mask'; choose among: perturb, size, masks"),
        ({"perturb": "fog"}, "fog"),
        ({"render_mode": "human"}, "render_mode is 'human'"),
        ({"joint_names": ("elbow",)}, "cartpole_balance has no joint 'elbow'; choose among"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sim_bridge.make("cartpole_balance", **options)


def test_bad_names_and_actions_are_refused() -> None:
    with pytest.raises(ConfigError, match="unknown task 'door'; choose one of: adroit_door"):
        sim_bridge.make("door")
    with pytest.raises(SimulationError, match="unknown camera 'nowhere'"):
        sim_bridge.make("cartpole_balance", camera="nowhere")
    with pytest.raises(AttributeError, match="no attribute 'mak'"):
        sim_bridge.mak  # noqa: B018
    env = block_env()
    with pytest.raises(SimulationError, match="call reset before step"):
        env.step(np.zeros(1))
    env.reset(seed=0)
    with pytest.raises(SimulationError, match="an action has shape"):
        env.step(np.zeros(2))
    with pytest.raises(SimulationError, match="bad command"):
        env.step(np.full(1, np.nan))


def test_a_scene_s_picture_is_its_observation_s() -> None:
    for perturb in ("none", "noise"):
        scene: Scene = make_scene("cartpole_balance", height=SIDE, width=SIDE, perturb=perturb)
        with pytest.raises(SimulationError, match="reset"):
            scene.picture()
        scene.reset(1)
        np.testing.assert_array_equal(scene.picture(), scene.observe().rgb)
        scene.close()


def test_stable_baselines3_learns_from_it() -> None:
    sb3 = pytest.importorskip("stable_baselines3", reason="needs the [train] extra")
    options = {"keys": ("rgb", "joints"), "camera_size": SIDE, "size": 40, "masks": "oracle"}
    env = gymnasium.make("samg/cartpole_swingup-v0", **options)
    model = sb3.PPO("MultiInputPolicy", env, n_steps=8, batch_size=8, n_epochs=1, device="cpu")
    model.learn(8)
    assert model.num_timesteps == 8
    action, _ = model.predict(env.reset(seed=0)[0])
    assert env.action_space.contains(action)
    env.close()


def test_the_class_is_at_the_front_door() -> None:
    assert sim_bridge.SamgEnv is SamgEnv


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"size": "a"}, "size is 'a'; it must be a whole number"),
        ({"perturb": None}, "must be text"),
    ],
)
def test_an_option_of_another_type_is_told(options: dict, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        sim_bridge.make("cartpole_swingup", **options)


def test_a_fork_of_a_process_that_has_rendered_is_refused() -> None:
    sim_bridge.make("cartpole_swingup", size=16, camera_size=16).close()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            sim_bridge.make("cartpole_swingup", size=16, camera_size=16)
        except SimulationError as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        assert "start workers by 'spawn'" in told.read()
    os.waitpid(child, 0)
