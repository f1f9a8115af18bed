"""The policy as a process that ends, or is deactivated: what its robot is left with."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from harness import POLICY, open_stage
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from robot_probe import Robot

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
