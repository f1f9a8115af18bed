"""Minutes of training in seconds: the loops run, losses fall, runs leave their folder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from policies.cli import train
from policies.networks import StudentNet, StudentNetConfig
from policies.pictures import training_views
from policies.preprocessing import FrameStack
from policies.registry import load_policy
from policies.rollout import EpisodeResults, evaluate_policy
from policies.student.config import StudentConfig
from policies.student.dataset import COLLECTED, Dataset, Drive, Episode, collect
from policies.student.learner import StudentLearner
from policies.teacher.config import ImitationConfig, TeacherConfig
from policies.teacher.train import train_teacher
from policies.training import EVALUATION_SEEDS, VALIDATION_SEEDS, training_seed
from policies.training.run import NOT_TOLD, resumed
from samg_ros.errors import CheckpointError, ConfigError
from samg_ros.io.run_folder import command_line
from samg_ros.machine import single_thread
from sim_bridge.envs.env import EnvConfig, SamgEnv
from sim_bridge.experts.state import Normalizer, StateTeacher
from sim_bridge.perturbations.grammar import make_perturbation
from sim_bridge.scenes import MASKS
from sim_bridge.scenes.scene import Scene
from sim_bridge.scenes.views import EpisodeView
from sim_bridge.task import CAMERA_SIZE, Task, make_task

TASK = "adroit_door"


@pytest.fixture(scope="module")
def task() -> Task:
    return make_task(TASK)


@pytest.fixture(scope="module")
def env(task: Task) -> SamgEnv:
    return SamgEnv(Scene(task), EnvConfig(size=CAMERA_SIZE, **COLLECTED))


@pytest.fixture(scope="module")
def episodes(env: SamgEnv) -> list[Episode]:
    """Two short episodes that the teacher drives."""
    teacher, drive = StateTeacher.shipped(TASK), Drive(1.0, 1, 0.05, 20, 5)
    return [
        collect(env, training_views("targets", 2, 1.0), teacher, None, drive, 84, seed)
        for seed in (10_000, 10_001)
    ]


def test_an_episode_is_masked_resized_and_labelled(episodes: list[Episode]) -> None:
    episode = episodes[0]
    assert episode.frames.shape == (20, 2, 3, 84, 84) and episode.frames.dtype == np.uint8
    assert episode.joints.shape == episode.labels.shape == (20, 28)
    assert np.abs(episode.labels).max() <= 1 and not episode.success
    black = (episode.frames == 0).all(axis=2).mean()
    assert 0.3 < black < 0.95
    # The maskings differ: other faults, other backgrounds.
    assert (episode.frames[:, 0] != episode.frames[:, 1]).any()


@pytest.mark.parametrize("gap", [1, 2])
def test_sampled_stacks_are_what_a_frame_stack_gives(episodes: list[Episode], gap: int) -> None:
    dataset = Dataset(3, 100, episodes, gap)
    assert len(dataset) == 40
    images, joints = set(), set()
    for episode in episodes:
        for masking in range(2):
            stack = FrameStack(3, gap)
            images |= {stack.push(frame).tobytes() for frame in episode.frames[:, masking]}
        stack = FrameStack(3, gap)
        joints |= {stack.push(position[None]).tobytes() for position in episode.joints}
    batch = dataset.sample(64, np.random.default_rng(0))
    assert batch.images.shape == (64, 9, 84, 84) and batch.joints.shape == (64, 3, 28)
    assert {image.tobytes() for image in batch.images.numpy()} <= images
    assert {stack.tobytes() for stack in batch.joints.numpy()} <= joints


@pytest.mark.parametrize(("mean_stretch", "switches"), [(1, (18, 42)), (15, (1, 9))])
def test_teacher_and_student_drive_in_stretches(
    env: SamgEnv, monkeypatch: pytest.MonkeyPatch, mean_stretch: int, switches: tuple[int, int]
) -> None:
    driven = []
    step = env.step
    monkeypatch.setattr(env, "step", lambda action: (driven.append(action[0]), step(action))[1])
    teacher = SimpleNamespace(label=lambda _: np.full(28, 0.5, np.float32))
    student = SimpleNamespace(reset=lambda: None, act=lambda _: np.full(28, -0.5, np.float32))
    drive = Drive(0.5, mean_stretch, 0.0, 60, 5)
    collect(env, training_views("targets", 1, 1.0), teacher, student, drive, 84, 10_000)
    assert set(driven) == {0.5, -0.5}
    assert switches[0] <= np.count_nonzero(np.diff(driven)) <= switches[1]


def test_motion_is_what_changed_between_the_frames() -> None:
    torch.manual_seed(0)
    config = StudentNetConfig(84, 3, joints=2, actions=1, features=8, hidden=8, motion=True)
    network = StudentNet(config)
    images = torch.randint(256, (2, 9, 84, 84), dtype=torch.uint8)
    oldest, middle, newest = (images / 255).split(3, dim=1)
    changes = torch.cat([newest, 4 * (newest - middle), 4 * (middle - oldest)], dim=1)
    code = network.encode(images)
    torch.testing.assert_close(code, network.trunk(changes))
    joints = torch.randn(2, 3, 2)
    told = [joints[:, 2], 10 * (joints[:, 2] - joints[:, 1]), 10 * (joints[:, 1] - joints[:, 0])]
    expected = torch.tanh(network.head(torch.cat([code, *told], dim=1)))
    torch.testing.assert_close(network.decode(code, joints), expected)


def test_without_motion_only_the_newest_joint_positions_count() -> None:
    network = StudentNet(StudentNetConfig(84, 3, joints=2, actions=1, features=8, hidden=8))
    code, joints = torch.randn(1, 8), torch.randn(1, 3, 2)
    before = network.decode(code, joints)
    joints[:, :2] += 1
    assert torch.equal(network.decode(code, joints), before)


def test_a_camera_smaller_than_the_network_s_picture_is_refused() -> None:
    with pytest.raises(ConfigError, match="camera_size is 64, less than image_size 84"):
        StudentConfig(camera_size=64)


def test_a_recipe_gives_defaults_that_options_override(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[StudentConfig] = []
    monkeypatch.setattr(
        "policies.student.dagger.train_student", lambda task, config, report: given.append(config)
    )
    for options in ([], ["--recipe", "dm_control"], ["--recipe=dm_control", "--no-motion"]):
        assert train.main(["student", "walker_walk", *options]) == 0
    adroit, balanced, still = given
    assert adroit == StudentConfig() and balanced.motion and balanced.camera_size == 168
    assert still == replace(balanced, motion=False)
    told = command_line("samg train student walker_walk", still, NOT_TOLD)
    assert train.main(told.split()[2:]) == 0 and given[-1] == still, "it repeats the training"
    with pytest.raises(SystemExit):
        train.main(["student", "walker_walk", "--recipe", "soup"])


def learner_of(
    network: StudentNet, dataset: Dataset, *, steps: int, shift_pad: int
) -> StudentLearner:
    return StudentLearner(
        network,
        Normalizer.fit(dataset.joints, 0.01),
        Normalizer.fit(dataset.states, 0.01),
        steps=steps,
        learning_rate=1e-3,
        state_weight=0.1,
        average_decay=0.9,
        shift_pad=shift_pad,
    )


def test_training_on_labelled_masks_reduces_the_loss(episodes: list[Episode]) -> None:
    torch.manual_seed(0)
    dataset = Dataset(3, 40, episodes)
    network = StudentNet(StudentNetConfig(84, 3, joints=28, actions=28, features=32, hidden=32))
    learner = learner_of(network, dataset, steps=60, shift_pad=0)
    rng = np.random.default_rng(0)
    with single_thread():
        losses = [learner.fit(dataset, updates=20, batch_size=16, rng=rng) for _ in range(3)]
    assert losses[2] < 0.6 * losses[0]


class WatchedNet(StudentNet):
    """Remembers what it was shown."""

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        self.shown = images
        return super().encode(images)


def test_pictures_are_shifted_in_training_all_of_a_stack_alike(episodes: list[Episode]) -> None:
    marked = replace(episodes[0], frames=np.zeros_like(episodes[0].frames))
    marked.frames[..., 40, 30] = 255
    dataset = Dataset(3, 40, [marked])
    network = WatchedNet(StudentNetConfig(84, 3, joints=28, actions=28, features=8, hidden=8))
    learner = learner_of(network, dataset, steps=1, shift_pad=2)
    learner.fit(dataset, updates=1, batch_size=64, rng=np.random.default_rng(0))
    places = [np.argwhere(stack == 255)[:, 1:] for stack in network.shown.numpy()]
    assert all(len(places_) == 9 and len(np.unique(places_, axis=0)) == 1 for places_ in places)
    first = np.array([places_[0] for places_ in places])
    assert first.min(0).tolist() == [38, 28] and first.max(0).tolist() == [42, 32]


def test_teacher_training_leaves_a_run_folder(tmp_path: Path) -> None:
    expert = tmp_path / "expert.npz"
    rng = np.random.default_rng(0)
    shapes = {"w0": (8, 39), "b0": 8, "w1": (8, 8), "b1": 8, "w2": (28, 8), "b2": 28}
    arrays = {name: rng.normal(0, 0.3, shape) for name, shape in shapes.items()}
    scales = {"in_shift": np.zeros(39), "in_scale": np.ones(39)}
    scales |= {"out_shift": np.zeros(28), "out_scale": np.ones(28)}
    np.savez(expert, **arrays, **scales)
    imitation = ImitationConfig(iterations=2, episodes=1, updates=100)
    config = TeacherConfig(expert, imitation=imitation, runs=tmp_path)
    lines: list[str] = []
    path = train_teacher(TASK, config, lambda _, line: lines.append(line))
    assert {item.name for item in path.parent.iterdir()} == {
        "config.json",
        "results.json",
        "curve.png",
        path.name,
    }
    record = json.loads((path.parent / "results.json").read_text())["record"]
    assert record["command"] == (
        f"samg train teacher {TASK} --expert expert.npz "
        "--imitation.iterations 2 --imitation.episodes 1 --imitation.updates 100"
    )
    assert record["scores"].keys() == {"state", "episodes"}
    first, last = (float(line.split()[1].rstrip(",")) for line in lines)
    assert last < first
    assert StateTeacher.load(path, TASK).spec.task == TASK
    with pytest.raises(CheckpointError, match="nothing left to do"):
        train_teacher(TASK, resumed(TeacherConfig, path.parent), lambda *_: None)


def test_a_task_of_contacts_asks_for_an_expert(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"give --expert FILE.* w0, b0, w1"):
        train_teacher(TASK, TeacherConfig(runs=tmp_path), lambda *_: None)
    assert not list(tmp_path.iterdir())


def test_seeds_for_training_validation_and_evaluation_never_meet() -> None:
    assert not set(EVALUATION_SEEDS) & set(VALIDATION_SEEDS)
    assert training_seed(0, 0) > max(*EVALUATION_SEEDS, *VALIDATION_SEEDS)


def test_evaluation_is_reproducible_and_tells_success(task: Task) -> None:
    scene, policy = Scene(task, make_perturbation("photos", TASK)), load_policy("student", TASK)
    one, two = (evaluate_policy(policy, scene, "oracle+noise", [3]) for _ in range(2))
    assert one == two and one.success_rate == 1
    assert 20 < (one.episodes[0].success_step or 0) < 40
    assert np.isnan(EpisodeResults(()).success_rate)


def test_views_show_what_they_say(task: Task) -> None:
    scene = Scene(task, make_perturbation("photos", TASK))
    scene.reset(0)
    frame = scene.observe()
    images = {name: EpisodeView(name, 0)(frame.rgb, frame.targets) for name in MASKS}
    seen = frame.targets > 0
    np.testing.assert_array_equal(images["none"], frame.rgb)
    np.testing.assert_array_equal(images["oracle"][seen], frame.rgb[seen])
    assert not images["oracle"][~seen].any() and not images["black"].any()
    assert images["oracle+noise"][~seen].any()
    with pytest.raises(ConfigError, match=r"choose one of: oracle, oracle\+noise, none, black"):
        EpisodeView("samg", 0)
