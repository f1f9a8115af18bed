"""A student's training that is broken off leaves a checkpoint, and can be gone on with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from training_fixtures import BLOCK, kill, student_config, toys

from policies.student.config import StudentConfig
from policies.student.dagger import KIND, train_student
from policies.student.policy import StudentPolicy
from policies.training.run import load_state, resumed
from samg_ros.cli import main
from samg_ros.errors import CheckpointError, ConfigError
from samg_ros.io.atomic import OutputError

TASK = BLOCK
# Kills itself while it drives its second episode; one round is kept.
KILLED = """
import os, signal, sys
from pathlib import Path
from drqv2_fixtures import BlockTask
from training_fixtures import BLOCK, student_config, toy_env, toys

class Mortal(BlockTask):
    def step(self, action):
        if report.done == 1 and self._steps == 7:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step(action)

def report(done, line):
    report.done = done

report.done = 0
with toys():
    import policies.student.dagger as train
    train.make = lambda _, **options: toy_env(Mortal, **options)
    train.train_student(BLOCK, student_config(Path(sys.argv[1])), report)
"""


@pytest.fixture
def block() -> Iterator[None]:
    with toys():
        yield


class KilledError(Exception):
    pass


def until(last: int):
    """What is told of the rounds, and a stop after the ``last``."""
    lines: list[str] = []

    def report(round_: int, line: str) -> None:
        lines.append(line)
        if round_ == last:
            raise KilledError

    return lines, report


def broken_off(runs: Path, last: int) -> Path:
    """The folder of a run that was."""
    with pytest.raises(KilledError):
        train_student(TASK, student_config(runs), until(last)[1])
    (folder,) = runs.iterdir()
    return folder


@pytest.mark.usefixtures("block")
def test_a_run_that_is_broken_off_leaves_a_checkpoint(tmp_path: Path) -> None:
    folder = broken_off(tmp_path, 1)
    policy = StudentPolicy.load(folder / f"{TASK}.safetensors", TASK)
    assert policy.spec.frame_stack == 3


@pytest.mark.usefixtures("block")
def test_killed_and_resumed_goes_on_from_the_last_round(tmp_path: Path) -> None:
    folder, _ = kill(KILLED, tmp_path)
    kept = load_state(folder, KIND, TASK)
    assert kept["files"] == ["round_00000.npz", "round_00001.npz"]
    assert kept["state"]["rounds_done"] == 1 and kept["state"]["episodes_done"] == 2
    lines, report = until(2)
    with pytest.raises(KilledError):
        train_student(TASK, resumed(StudentConfig, folder), report)
    after = load_state(folder, KIND, TASK)["state"]
    assert [len(after["curves"][name]) for name in ("action loss", "training success")] == [2, 2]
    assert after["curves"]["action loss"][:1] == kept["state"]["curves"]["action loss"]
    optimizer = after["learner"]["optimizer"]["state"]
    assert optimizer[0]["step"] == 6, "three gradient steps a round, those of the killed one too"
    assert after["episodes_done"] == 3
    path = train_student(TASK, resumed(StudentConfig, folder), until(0)[1])
    assert path.parent == folder and [*tmp_path.iterdir()] == [folder]
    # Episodes of 20 steps: of the teacher's round and the two later ones, each seen once.
    assert lines == [lines[0]] and lines[0].endswith("60 frames")
    results = json.loads((folder / "results.json").read_text())
    assert results["episodes"].keys() == {"teacher", "oracle", "oracle+noise", "none", "black"}
    assert results["record"]["scores"]["teacher_return"] > 10


@pytest.mark.usefixtures("block")
def test_a_run_that_is_broken_off_before_its_score_is_scored(tmp_path: Path) -> None:
    folder = broken_off(tmp_path, 3)
    assert not (folder / "results.json").exists()
    lines, report = until(0)
    path = train_student(TASK, resumed(StudentConfig, folder), report)
    assert lines == [] and (folder / "results.json").is_file()
    assert {file.name for file in folder.iterdir()} == {
        "config.json",
        "results.json",
        "curve.png",
        path.name,
    }
    with pytest.raises(CheckpointError, match="nothing left to do"):
        train_student(TASK, resumed(StudentConfig, folder), until(0)[1])


@pytest.mark.usefixtures("block")
def test_what_cannot_be_resumed_says_why(tmp_path: Path, capsys) -> None:
    with pytest.raises(ConfigError, match="not the folder of a run"):
        train_student(TASK, resumed(StudentConfig, tmp_path), until(0)[1])
    folder = broken_off(tmp_path / "runs", 2)
    with pytest.raises(ConfigError, match="updates is 3 there, not 9; leave it out"):
        train_student(TASK, resumed(StudentConfig, folder, updates=9), until(0)[1])
    with pytest.raises(CheckpointError, match=f"trains for task '{TASK}', not for 'other'"):
        train_student("other", resumed(StudentConfig, folder), until(0)[1])
    (folder / "state" / "round_00001.npz").write_bytes(b"torn")
    assert main(["train", "student", TASK, "--resume", str(folder)]) == 1
    assert "round_00001.npz: missing or torn" in " ".join(capsys.readouterr().err.split())
    config_file = folder / "config.json"
    stored = json.loads(config_file.read_text())
    config_file.write_text(json.dumps(stored | {"settings": {"sac": {}}}))
    with pytest.raises(CheckpointError, match="has unknown sac"):
        train_student(TASK, resumed(StudentConfig, folder), until(0)[1])


@pytest.mark.usefixtures("block")
def test_an_option_that_is_given_is_told_from_one_that_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A value that is the default, or a recipe's, is as good as any other."""
    folder = broken_off(tmp_path, 1)
    assert main(["train", "student", TASK, "--resume", str(folder), "--updates", "400"]) == 1
    assert "updates is 3 there, not 400" in " ".join(capsys.readouterr().err.split())
    told: list[StudentConfig] = []
    monkeypatch.setattr(
        "policies.student.dagger.train_student", lambda _, given, __: told.append(given) or folder
    )
    main(["train", "student", TASK, "--recipe", "dm_control", f"--resume={folder}"])
    assert told == [resumed(StudentConfig, folder)]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("teacher", "nosuch"), "unknown task 'nosuch'"),
        (("student", "nosuch"), "unknown task 'nosuch'"),
        (("student", "finger_spin", "--offsets"), "offsets from joint positions need position"),
    ],
)
def test_what_cannot_begin_leaves_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], why: str
) -> None:
    assert main(["train", *arguments, "--runs", str(tmp_path)]) == 1
    assert why in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("block")
def test_a_disk_that_is_full_stops_the_run_and_keeps_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = broken_off(tmp_path, 1)
    state = (folder / "training.pt").read_bytes()

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr("policies.training.run.np.savez_compressed", refuse)
        with pytest.raises(OutputError, match="No space left on device"):
            train_student(TASK, resumed(StudentConfig, folder), until(0)[1])
    assert (folder / "training.pt").read_bytes() == state
    train_student(TASK, resumed(StudentConfig, folder), until(0)[1])
