"""The policy as a process that ends, or is deactivated: what its robot is left with."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import MARK, POLICY, marked, open_stage
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from robot_probe import Robot

from policies.pipeline.simulated import ros_arguments
from samg_ros.ros.environment import END_WITH
from sim_bridge.task import make_task


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Robot]:
    """A robot that takes efforts: whatever comes last goes on pushing it."""
    task = make_task("cartpole_swingup")
    task.close()
    with open_stage(tmp_path_factory.mktemp("pushed")) as stage:
        yield Robot(stage, task.spec, task="cartpole_swingup", frame_timeout_s=600.0)


def test_a_deactivated_policy_leaves_no_effort_behind(pushed: Robot) -> None:
    pushed.commanded(pushed.later())
    assert pushed.commands[-1].effort[0] != 0
    for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE):
        change = ChangeState.Request(transition=Transition(id=transition))
        assert pushed.probe.call(ChangeState, "/policy/change_state", change).success
        pushed.probe.wait_for(lambda: list(pushed.commands[-1].effort) == [0.0], "no effort")
    pushed.commanded(pushed.later())
    assert pushed.commands[-1].effort[0] != 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_ended_policy_leaves_no_effort_behind(pushed: Robot, number: signal.Signals) -> None:
    if number == signal.SIGTERM:
        pushed.stage.start("policy", POLICY, pushed.parameters)
    pushed.commanded(pushed.later())
    assert pushed.commands[-1].effort[0] != 0
    assert pushed.stage.end("policy", number) == 0
    pushed.probe.wait_for(lambda: list(pushed.commands[-1].effort) == [0.0], "no effort")
    assert "Traceback" not in pushed.stage.log("policy")


@pytest.mark.parametrize("by", ["environment", "parameter"])
def test_a_policy_whose_launch_is_killed_leaves_no_effort_behind(
    pushed: Robot, tmp_path: Path, by: str
) -> None:
    if marked(pushed.stage.environment[MARK]):  # where this test runs alone
        pushed.stage.end("policy", signal.SIGINT)
    told = pushed.parameters | {"end_with_parent": by == "parameter"}
    arguments = shlex.join(ros_arguments(told | {"use_sim_time": True}))
    # A shell stands in for ros2 launch; a killed one tells its children nothing.
    told_by = {"environment": f"{END_WITH}=$$", "parameter": ""}[by]
    script = f"{told_by} {sys.executable} -m {POLICY} {arguments} & wait"
    with (tmp_path / "log").open("wb") as log:
        environment = pushed.stage.environment
        launch = subprocess.Popen(["sh", "-c", script], env=environment, stdout=log, stderr=log)
        pushed.commanded(pushed.later())
        assert pushed.commands[-1].effort[0] != 0
        launch.kill()
        launch.wait()
        pushed.probe.wait_for(lambda: list(pushed.commands[-1].effort) == [0.0], "no effort")
        mark = environment[MARK]
        pushed.probe.wait_for(lambda: not marked(mark), "the policy's process is gone")
    assert "Traceback" not in (tmp_path / "log").read_text()
