"""Teachers from rewards: they learn, they can be killed and go on, they play as a teacher does."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from policies.cli.train import main
from policies.teacher.config import ImitationConfig, SacConfig, TeacherConfig
from policies.teacher.train import train_teacher
from policies.training import training_seed
from policies.training.state_file import FILE, resumed
from samg_ros.errors import CheckpointError, ConfigError
from samg_ros.io.run_folder import RunFolder
from sim_bridge.experts.state import StateNet, StateNetConfig, StateTeacher
from sim_bridge.task import StepResult, TaskSpec

TASK = "point"
SPEC = TaskSpec(
    name=TASK,
    actuated_joints=("x", "y"),
    command_mode="effort",
    command_low=(-1.0, -1.0),
    command_high=(1.0, 1.0),
    joint_names=("x", "y"),
    proprioception=("x", "y"),
    cameras=("front",),
    default_camera="front",
    targets=("point",),
    control_dt_s=0.1,
    tells_success=False,
    action_repeat=1,
    episode_steps=50,
)
SAC = SacConfig(
    rounds=4,
    episodes=2,
    evaluation_episodes=2,
    warm_up=60,
    batch_size=32,
    learning_rate=3e-3,
    hidden=32,
    average_decay=0.95,
)


class PointTask:
    """A point that an action moves by up to 0.2; its reward is one less its distance to 0.

    The parts of :class:`sim_bridge.task.Task` that need no picture.
    """

    spec = SPEC

    def reset(self, seed: int) -> StepResult:
        self._at, self._step = np.random.default_rng(seed).uniform(-1, 1, 2), 0
        return self._result(0.0)

    def step(self, action: np.ndarray) -> StepResult:
        self._at = np.clip(self._at + 0.2 * np.clip(action, -1, 1), -2, 2)
        self._step += 1
        return self._result(1 - float(np.linalg.norm(self._at)))

    def close(self) -> None:
        pass

    def _result(self, reward: float) -> StepResult:
        done = self._step == SPEC.episode_steps
        return StepResult(self._at.copy(), reward, None, self._step, 0.1 * self._step, done)


@pytest.fixture(autouse=True)
def point(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("policies.teacher.train.make_task", lambda _: PointTask())
    monkeypatch.setattr("policies.teacher.train.tasks", SimpleNamespace(get=lambda _: PointTask))


def train(config: TeacherConfig, task: str = TASK) -> tuple[Path, list[str]]:
    lines: list[str] = []
    path = train_teacher(task, config, lambda _, line: lines.append(line))
    return path, lines


def killed_after(rounds: int, config: TeacherConfig) -> Path:
    """A run that is broken off after ``rounds``. :return: its folder."""

    def report(done: int, _: str) -> None:
        if done == rounds:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_teacher(TASK, config, report)
    (folder,) = config.runs.iterdir()
    return folder


def test_it_learns_and_leaves_a_run_folder(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr("tempfile.tempdir", str(elsewhere))
    path, lines = train(TeacherConfig(sac=replace(SAC, rounds=8), runs=tmp_path))
    assert not list(elsewhere.glob("SB3*")), "stable-baselines3 leaves nothing behind"
    returns = [float(line.split()[3].rstrip(",")) for line in lines]
    assert len(returns) == 8 and max(returns) > 35 > returns[0]
    files = {item.name for item in path.parent.iterdir()}
    assert files == {"config.json", "results.json", "curve.png", FILE, path.name}
    results = json.loads((path.parent / "results.json").read_text())
    scores = results["record"]["scores"]
    held_out = [episode["episode_return"] for episode in results["episodes"]]
    assert scores == {"state_return": pytest.approx(np.mean(held_out), abs=0.1), "episodes": 20}
    assert results["record"]["command"] == (
        "samg train teacher point --sac.rounds 8 --sac.episodes 2 --sac.evaluation-episodes 2 "
        "--sac.warm-up 60 --sac.batch-size 32 --sac.learning-rate 0.003 --sac.hidden 32 "
        "--sac.average-decay 0.95"
    )
    teacher = StateTeacher.load(path, TASK)
    assert teacher.label(np.array([1.0, -1.0])) @ [1, -1] < -0.5  # back to the middle


def test_it_stops_once_it_is_good_enough(tmp_path: Path) -> None:
    _, lines = train(TeacherConfig(sac=replace(SAC, stop_at=-1000), runs=tmp_path))
    assert len(lines) == 1


def test_killed_and_resumed_gives_what_an_unbroken_run_gives(tmp_path: Path) -> None:
    whole, lines = train(TeacherConfig(sac=SAC, seed=3, runs=tmp_path / "whole"))
    folder = killed_after(2, TeacherConfig(sac=SAC, seed=3, runs=tmp_path / "killed"))
    path, rest = train(resumed(TeacherConfig, folder))
    assert rest == lines[2:] and path.parent == folder
    one, two = (StateTeacher.load(file, TASK) for file in (whole, path))
    for name, weights in one.network.state_dict().items():
        assert torch.equal(weights, two.network.state_dict()[name]), name
    records = [
        json.loads((p.parent / "results.json").read_text())["record"] for p in (whole, path)
    ]
    assert records[0]["command"] == records[1]["command"] and records[1]["seed"] == 3


def test_other_seeds_give_other_teachers(tmp_path: Path) -> None:
    sac = replace(SAC, rounds=1)
    one, two = (train(TeacherConfig(sac=sac, seed=s, runs=tmp_path / str(s)))[1] for s in (0, 1))
    assert one != two


def test_a_resumed_run_may_be_longer(tmp_path: Path) -> None:
    folder = killed_after(1, TeacherConfig(sac=SAC, runs=tmp_path))
    _, lines = train(resumed(TeacherConfig, folder, sac=replace(SAC, rounds=3)))
    assert [line.split()[0] for line in lines] == ["200", "300"]


def test_a_run_that_did_more_rounds_than_it_is_told_now_is_done(tmp_path: Path) -> None:
    folder = killed_after(2, TeacherConfig(sac=SAC, runs=tmp_path))
    # One round is stored: the second was broken off before its state was kept.
    path, lines = train(resumed(TeacherConfig, folder, sac=replace(SAC, rounds=1)))
    assert not lines and StateTeacher.load(path, TASK).spec.task == TASK


def test_a_run_that_is_resumed_while_it_warms_up_draws_the_actions_that_were_next(
    tmp_path: Path,
) -> None:
    sac = replace(SAC, warm_up=10_000, rounds=2)
    train(TeacherConfig(sac=sac, runs=tmp_path / "whole"))
    folder = killed_after(1, TeacherConfig(sac=sac, runs=tmp_path / "killed"))
    train(resumed(TeacherConfig, folder))
    (whole,) = (tmp_path / "whole").iterdir()
    stored = [torch.load(run / FILE, weights_only=True)["rows"] for run in (whole, folder)]
    assert torch.equal(stored[0]["actions"], stored[1]["actions"])


def test_an_option_of_a_resumed_run_is_heeded_or_refused(tmp_path: Path) -> None:
    folder = killed_after(1, TeacherConfig(sac=SAC, seed=3, runs=tmp_path))
    with pytest.raises(ConfigError, match=r"seed is 3 there, not 0; only sac.rounds, sac.stop_at"):
        train(resumed(TeacherConfig, folder, seed=0))
    with pytest.raises(ConfigError, match=r"sac.hidden is 32 there, not 128"):
        train(resumed(TeacherConfig, folder, sac=replace(SAC, hidden=128)))


def test_one_process_at_a_time_trains_in_a_folder(tmp_path: Path) -> None:
    folder = killed_after(1, TeacherConfig(sac=SAC, runs=tmp_path))
    with (
        RunFolder.existing(folder),
        pytest.raises(ConfigError, match="another process is at work there"),
    ):
        train(resumed(TeacherConfig, folder))
    train(resumed(TeacherConfig, folder, sac=replace(SAC, rounds=2)))


def test_a_teacher_is_kept_before_its_curve_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ConfigError("no matplotlib")

    monkeypatch.setattr("policies.teacher.train.plot_curves", refuse)
    with pytest.raises(ConfigError, match="no matplotlib"):
        train(TeacherConfig(sac=replace(SAC, rounds=1), runs=tmp_path))
    (folder,) = tmp_path.iterdir()
    assert StateTeacher.load(folder / "point_teacher.safetensors", TASK)


def test_a_run_may_start_from_the_networks_of_another(tmp_path: Path) -> None:
    first, _ = train(TeacherConfig(sac=replace(SAC, rounds=6), runs=tmp_path / "first"))
    sac = replace(SAC, rounds=1, warm_up=100)  # no gradient step is made
    config = TeacherConfig(start_from=first.parent, sac=sac, seed=5, runs=tmp_path / "second")
    second, _ = train(config, task="other")
    stored = torch.load(first.parent / FILE, weights_only=True)["average"]["mu.weight"]
    begun = StateTeacher.load(second).network.state_dict()["body.4.weight"]
    assert torch.equal(stored, begun)
    record = json.loads((second.parent / "results.json").read_text())["record"]
    assert f"--start-from {first.parent.name}" in record["command"]
    with pytest.raises(CheckpointError, match="of another task or network"):
        train(replace(config, sac=replace(sac, hidden=8)), task="other")


def test_what_cannot_be_resumed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not the folder of a run"):
        train(resumed(TeacherConfig, tmp_path))
    folder = killed_after(1, TeacherConfig(sac=SAC, runs=tmp_path))
    with pytest.raises(CheckpointError, match="trains for task 'point', not for 'other'"):
        train(resumed(TeacherConfig, folder), task="other")
    config = json.loads((folder / "config.json").read_text())
    config["settings"]["sac"]["hidden"] = 8
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="of another task or network"):
        train(resumed(TeacherConfig, folder))
    content = (folder / FILE).read_bytes()
    (folder / FILE).write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="truncated or no checkpoint"):
        train(resumed(TeacherConfig, folder))
    (folder / FILE).unlink()
    with pytest.raises(CheckpointError, match="before its first checkpoint"):
        train(resumed(TeacherConfig, folder))
    (folder / "config.json").write_text(json.dumps(config | {"settings": {"image_size": 84}}))
    with pytest.raises(CheckpointError, match="lacks imitation, sac"):
        train(resumed(TeacherConfig, folder))


def test_every_episode_of_a_run_has_a_seed_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: list[int] = []
    reset = PointTask.reset

    def spy(self: PointTask, seed: int) -> StepResult:
        seeds.append(seed)
        return reset(self, seed)

    monkeypatch.setattr(PointTask, "reset", spy)
    train(TeacherConfig(sac=replace(SAC, rounds=2), runs=tmp_path))
    trained = sorted({seed for seed in seeds if seed >= training_seed(0, 0)})
    assert trained == [training_seed(0, episode) for episode in range(5)]


def test_a_squashed_network_is_bounded_and_an_unknown_activation_refused() -> None:
    network = StateNet(StateNetConfig(3, 2, 8, "relu", True))
    assert network(1e6 * torch.ones(1, 3)).abs().max() <= 1
    with pytest.raises(ConfigError, match="choose one of: tanh, relu"):
        StateNetConfig(3, 2, activation="gelu")
    assert asdict(network.config)["squash"] is True


def test_the_command_line_sets_what_it_names(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[TeacherConfig] = []

    def trainer(task: str, config: TeacherConfig, report: Callable[[int, str], None]) -> Path:
        told.append(config)
        report(1, "a line")
        return Path(f"{task}.safetensors")

    monkeypatch.setattr("policies.teacher.train.train_teacher", trainer)
    main(["teacher", TASK, "--sac.rounds", "3", "--sac.n-step", "2", "--seed", "4"])
    main(["teacher", TASK, "--expert", "x.npz", "--imitation.iterations", "5"])
    assert told[0] == TeacherConfig(seed=4, sac=SacConfig(rounds=3, n_step=2))
    assert told[1] == TeacherConfig(Path("x.npz"), imitation=ImitationConfig(iterations=5))
    shown = capsys.readouterr().out
    assert "teacher point 1/3: a line" in shown and "teacher point 1/5: a line" in shown
