"""``samg demo`` as a user runs it: to its end, interrupted, killed, and with a dead child."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from harness import (
    BRIDGE,
    MARK,
    MASKER,
    POLICY,
    RECORDER,
    command_of,
    marked,
    private_environment,
)
from messages import on_disk
from probe import DEADLINE_S

from policies.pipeline import recording as topics
from policies.pipeline.recording import Recording, pixels
from samg_ros.cli import main

# A shell has its background jobs ignore SIGINT, and what they start; a user's demo does not.
SAMG = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from samg_ros.cli import main
sys.exit(main())
"""
# A run that goes on for longer than a test, with what starts fastest.
ENDLESS = ("--episodes", "1000", "--mask", "oracle", "--policy", "random", "--perturb", "none")
NODES = {BRIDGE, MASKER, POLICY, RECORDER}


class Demo:
    """A running ``samg demo``. ``folder``: of its run."""

    def __init__(self, folder: Path, variables: dict[str, str], options: tuple[str, ...]) -> None:
        self.folder = folder / "run"
        self._mark = variables[MARK]
        self._out, self._err = folder / "stdout", folder / "stderr"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SAMG, "demo", "--out", str(self.folder), *options],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=variables,
            )

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    def wait_for(self, condition: Callable[[], object], what: str, *, ends: bool = False) -> None:
        deadline = time.monotonic() + 2 * DEADLINE_S
        while not condition():
            alive = ends or self.process.poll() is None
            assert alive, f"the demo ended early: {self.out}{self.err}"
            assert time.monotonic() < deadline, f"waited in vain: {what}; {self.out}{self.err}"
            time.sleep(0.1)

    def wait_until_running(self) -> None:
        """Wait until frames and commands arrive in the bag."""

        def recorded() -> bool:
            counts = on_disk(self.folder / "bag")
            return min(counts[topics.RAW], counts[topics.COMMAND]) > 2

        self.wait_for(recorded, "frames in the bag")

    def nodes(self) -> dict[str, int]:
        """The node processes by module name."""
        commands = {pid: command_of(pid) for pid in marked(self._mark)}
        return {name: pid for pid, line in commands.items() for name in NODES if name in line}

    def ended(self) -> int:
        """Wait for the end. :return: the exit status."""
        self.wait_for(lambda: self.process.poll() is not None, "the end", ends=True)
        return self.process.returncode


@contextlib.contextmanager
def demo(folder: Path, *options: str) -> Iterator[Demo]:
    """On leaving, no process of the demo may be left."""
    with private_environment(folder) as variables:
        started = Demo(folder, variables, options)
        try:
            yield started
        finally:
            if started.process.poll() is None:
                started.process.terminate()
                started.process.wait()


def test_demo_from_start_to_end(tmp_path: Path) -> None:
    with demo(tmp_path, "--mask", "oracle", "--episodes", "1", "--json") as run:
        assert run.ended() == 0, run.err
        assert run.nodes() == {}
    summary = json.loads(run.out)
    assert summary == json.loads((run.folder / "results.json").read_text())
    (episode,) = summary["episodes"]
    assert summary["successes"] == 1 and episode["success"] is True
    assert summary["mean_iou"] == episode["min_iou"] == 1.0
    assert not episode["timed_out"]
    assert_frames_belong_together(run.folder / "bag", episode["steps"])
    sheet = cv2.imread(str(run.folder / "contact_sheet.png"))
    assert sheet is not None and sheet.shape[1] == 4 * 256 and sheet.std() > 10
    video = cv2.VideoCapture(str(run.folder / "episode.mp4"))
    frames = 0
    while video.read()[0]:
        frames += 1
    assert frames >= episode["steps"]


def assert_frames_belong_together(bag: Path, steps: int) -> None:
    """Every step's picture, masked picture, mask and command are in the bag, by stamp."""
    with Recording(bag) as recording:
        commanded = [stamp for stamp, _ in recording.groups(topics.RAW, topics.COMMAND)]
        groups = dict(recording.groups(topics.RAW, topics.MASKED, topics.MASK, topics.TRUTH))
    assert len(commanded) >= steps
    assert set(commanded) <= set(groups)
    for group in groups.values():
        assert len({message.header.frame_id for message in group.values()}) == 1
        raw, masked, mask, truth = (
            pixels(group[topic])
            for topic in (topics.RAW, topics.MASKED, topics.MASK, topics.TRUTH)
        )
        np.testing.assert_array_equal(mask, truth)
        np.testing.assert_array_equal(masked, raw * (mask > 0)[..., None])


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_demo_finishes_its_bag(tmp_path: Path, first: signal.Signals) -> None:
    with demo(tmp_path, *ENDLESS) as run:
        run.wait_until_running()
        assert set(run.nodes()) == NODES
        run.process.send_signal(first)
        # A terminal that is closed, or an impatient user, sends more than one.
        run.wait_for(lambda: len(run.nodes()) < len(NODES), "the first node ends")
        run.process.send_signal(signal.SIGTERM)
        assert run.ended() == 130
        assert run.nodes() == {}
    assert "Traceback" not in run.err
    with Recording(run.folder / "bag") as recording:
        assert recording.counts()[topics.RAW] > 2


def test_killed_demo_leaves_no_nodes(tmp_path: Path) -> None:
    with demo(tmp_path, *ENDLESS) as run:
        run.wait_until_running()
        run.process.kill()
        run.wait_for(lambda: not run.nodes(), "the nodes end", ends=True)
    with Recording(run.folder / "bag") as recording:
        assert recording.counts()[topics.RAW] > 2


def test_dead_child_ends_the_demo_with_its_last_lines(tmp_path: Path) -> None:
    with demo(tmp_path, *ENDLESS) as run:
        run.wait_until_running()
        log = run.folder / "logs" / "policy.log"
        with log.open("a") as file:
            file.write("the policy's last words\n")
        os.kill(run.nodes()[POLICY], signal.SIGKILL)
        assert run.ended() == 1
        assert run.nodes() == {}
    assert f"the policy process ended with status -9; its last lines ({log}):" in run.err
    assert "  | the policy's last words" in run.err
    assert "Traceback" not in run.err
    with Recording(run.folder / "bag") as recording:
        assert recording.counts()[topics.RAW] > 2


def test_a_recorder_that_stops_ends_the_demo(tmp_path: Path) -> None:
    with demo(tmp_path, *ENDLESS) as run:
        run.wait_until_running()
        shutil.rmtree(run.folder / "bag")
        assert run.ended() == 1
        assert run.nodes() == {}
    assert "samg demo: the recorder has stopped, not recording: " in run.err
    assert "Traceback" not in run.err
    assert not (run.folder / "results.json").exists()


def test_folder_with_something_in_it_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "precious").touch()
    assert main(["demo", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(f"samg demo: {tmp_path} is not empty")
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]
