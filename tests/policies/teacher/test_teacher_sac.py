"""Teachers from rewards: they learn, they can be killed and go on, they play as a teacher does."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import stable_baselines3
import torch
from training_fixtures import POINT, SAC, PointTask, kill, toys

from policies.cli.train import main
from policies.teacher.config import ImitationConfig, SacConfig, TeacherConfig
from policies.teacher.sac import KIND, StateEnv, as_teacher
from policies.teacher.train import train_teacher
from policies.training import training_seed
from policies.training.run import FILE, load_state, resumed
from samg_ros.errors import CheckpointError, ConfigError
from samg_ros.io.run_folder import RunFolder
from sim_bridge.experts.state import Normalizer, StateNet, StateNetConfig, StateTeacher
from sim_bridge.task import StepResult

TASK = POINT
# Kills itself in its third round; two are kept.
KILLED = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
from training_fixtures import POINT, SAC, PointTask, toys
from policies.teacher.config import TeacherConfig
from policies.teacher.train import train_teacher

class Mortal(PointTask):
    steps = 0

    def step(self, action):
        Mortal.steps += Mortal.armed
        if Mortal.steps > 70:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step(action)

def report(done, line):
    Mortal.armed = done == 2

Mortal.armed = False
with toys():
    import policies.teacher.train as train
    train.make_task = lambda _: Mortal()
    train_teacher(POINT, TeacherConfig(sac=SAC, seed=3, runs=Path(sys.argv[1])), report)
"""


@pytest.fixture(autouse=True)
def point() -> Iterator[None]:
    with toys():
        yield


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
    assert files == {"config.json", "results.json", "curve.png", FILE, "state", path.name}
    results = json.loads((path.parent / "results.json").read_text())
    scores = results["record"]["scores"]
    held_out = [episode["episode_return"] for episode in results["episodes"]]
    assert scores == {"state_return": pytest.approx(np.mean(held_out), abs=0.1), "episodes": 20}
    assert results["record"]["command"] == (
        "samg train teacher point --sac.rounds 8 --sac.episodes 2 --sac.evaluation-episodes 2 "
        "--sac.warm-up 60 --sac.batch-size 32 --sac.learning-rate 0.003 --sac.hidden 32"
    )
    teacher = StateTeacher.load(path, TASK)
    assert teacher.label(np.array([1.0, -1.0])) @ [1, -1] < -0.5  # back to the middle


def test_it_stops_once_it_is_good_enough(tmp_path: Path) -> None:
    _, lines = train(TeacherConfig(sac=replace(SAC, stop_at=-1000), runs=tmp_path))
    assert len(lines) == 1


def test_what_is_kept_acts_as_stable_baselines3_does() -> None:
    normalizer = Normalizer((0.1, -0.2), (0.5, 2.0))
    env = StateEnv(PointTask(), normalizer, 0, SAC)  # type: ignore[arg-type]
    model = stable_baselines3.SAC(
        "MlpPolicy", env, policy_kwargs={"net_arch": [24] * 2}, seed=1, device="cpu"
    )
    with torch.no_grad():
        for parameter in model.actor.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    teacher = as_teacher(model, normalizer, PointTask.spec)
    states = np.random.default_rng(0).normal(0, 3, (200, 2))
    ours = np.stack([teacher.label(state) for state in states])
    theirs = model.predict(normalizer(states), deterministic=True)[0]
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert np.ptp(ours, axis=0).min() > 0.5, "actions that differ"
    model.actor.mu.weight.data.zero_()
    assert teacher.network.body[4].weight.any(), "its weights are copies"


def test_killed_and_resumed_goes_on_from_the_last_round(tmp_path: Path) -> None:
    folder, _ = kill(KILLED, tmp_path)
    before = load_state(folder, KIND, TASK)
    assert len(before["state"]["returns"]) == 2
    path, lines = train(resumed(TeacherConfig, folder))
    assert path.parent == folder
    assert [line.split()[0] for line in lines] == ["300", "400"]
    after = load_state(folder, KIND, TASK)
    assert after["state"]["returns"][:2] == before["state"]["returns"]
    assert after["duration_s"] > before["duration_s"] and after["files"] != before["files"]
    assert {file.name for file in (folder / "state").iterdir()} == {*after["files"]}
    record = json.loads((folder / "results.json").read_text())["record"]
    assert record["seed"] == 3 and "--seed 3" in record["command"]
    assert StateTeacher.load(path, TASK)


def test_a_resumed_run_keeps_replay_networks_and_best_round(tmp_path: Path) -> None:
    folder = killed_after(2, TeacherConfig(sac=SAC, runs=tmp_path))
    state = load_state(folder, KIND)["state"]
    best = {name: tensor.clone() for name, tensor in state["best"].items()}
    with (folder / "state" / "replay_2.pkl").open("rb") as file:
        rewards = pickle.load(file).rewards[:200]
    assert rewards.any()
    # Nothing that is learned now is as good, and no gradient step is made any more.
    torch.save(
        torch.load(folder / FILE) | {"state": state | {"returns": [0.0, 1e9]}}, folder / FILE
    )
    sac = replace(SAC, rounds=3, stop_at=1e6)
    path, lines = train(resumed(TeacherConfig, folder, sac=replace(sac, stop_at=1e6)))
    assert lines == [], "it is better than it has to be"
    torch.testing.assert_close(StateTeacher.load(path).network.state_dict(), best)
    torch.save(
        torch.load(folder / FILE) | {"state": state | {"returns": [0.0, 9e5]}}, folder / FILE
    )
    path, lines = train(resumed(TeacherConfig, folder, sac=sac))
    assert len(lines) == 1 and lines[0].endswith("best 900000")
    torch.testing.assert_close(StateTeacher.load(path).network.state_dict(), best)
    with (folder / "state" / "replay_3.pkl").open("rb") as file:
        buffer = pickle.load(file)
    np.testing.assert_array_equal(buffer.rewards[:200], rewards)
    assert buffer.size() == 300 and buffer.rewards[200:300].any()
    assert buffer.timeouts[199], "episodes are not put together"


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
    path, lines = train(resumed(TeacherConfig, folder, sac=replace(SAC, rounds=1)))
    assert not lines and StateTeacher.load(path, TASK).spec.task == TASK


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

    monkeypatch.setattr("policies.training.run.plot_curves", refuse)
    with pytest.raises(ConfigError, match="no matplotlib"):
        train(TeacherConfig(sac=replace(SAC, rounds=1), runs=tmp_path))
    (folder,) = tmp_path.iterdir()
    assert StateTeacher.load(folder / "point_teacher.safetensors", TASK)


def test_a_run_may_start_from_the_networks_of_another(tmp_path: Path) -> None:
    first, _ = train(TeacherConfig(sac=replace(SAC, rounds=6), runs=tmp_path / "first"))
    sac = replace(SAC, rounds=1, warm_up=100)  # no gradient step is made
    config = TeacherConfig(start_from=first.parent, sac=sac, seed=5, runs=tmp_path / "second")
    second, _ = train(config, task="other")
    # The last round's networks, not the best round's.
    last = load_state(second.parent, KIND)["state"]["best"]["body.4.weight"]
    fresh, _ = train(replace(config, start_from=None, runs=tmp_path / "fresh"))
    scores = [load_state(path.parent, KIND)["state"]["returns"][-1] for path in (first, second)]
    assert scores[0] == pytest.approx(scores[1])
    assert not torch.equal(last, StateTeacher.load(fresh).network.state_dict()["body.4.weight"])
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
    for file in (folder / "state").iterdir():
        whole = file.read_bytes()
        for torn in (whole[: len(whole) // 2], b"", b"plain text"):
            file.write_bytes(torn)
            with pytest.raises(CheckpointError, match=rf"{file.name}: missing or torn"):
                train(resumed(TeacherConfig, folder))
        file.write_bytes(whole)
    config = json.loads((folder / "config.json").read_text())
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
