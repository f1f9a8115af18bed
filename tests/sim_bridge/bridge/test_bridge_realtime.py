"""The bridge as a process, in realtime: it never waits, and says by how much it lags."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from bridge_probe import Bridge, open_bridges, spec_of
from diagnostic_msgs.msg import DiagnosticStatus
from messages import stamps, with_stamp
from sensor_msgs.msg import JointState

from samg_ros.ros.diagnostics import status_values
from samg_ros.ros.qos import to_ns
from sim_bridge.task import TaskSpec

TASK, SWINGUP = "adroit_door", "cartpole_swingup"


@pytest.fixture(scope="module")
def spec() -> TaskSpec:
    return spec_of(TASK)


@pytest.fixture(scope="module")
def bridges(tmp_path_factory: pytest.TempPathFactory, spec: TaskSpec) -> Iterator[dict]:
    kinds: dict[str, dict] = {
        "realtime": {"spec": spec, "mode": "realtime", "auto_reset": True},
        "slow": {"spec": spec_of(SWINGUP), "mode": "realtime", "module": "slow_bridge"},
    }
    with open_bridges(tmp_path_factory.mktemp("bridges"), kinds) as started:
        yield started


@pytest.fixture
def realtime(bridges: dict[str, Bridge]) -> Iterator[Bridge]:
    """The one in realtime, running."""
    bridge = bridges["realtime"]
    bridge.pause(False)
    yield bridge
    bridge.pause(True)


def test_realtime_steps_without_commands_into_the_next_episode(realtime: Bridge) -> None:
    bridge = realtime

    def next_episode() -> int:
        running = int(bridge.episode()["episode"])
        bridge.probe.wait_for(lambda: int(bridge.episode()["episode"]) > running, "a new episode")
        return running + 1

    whole = next_episode()
    next_episode()
    told = [status_values(msg.status[0]) for msg in bridge.episodes]
    steps = [int(values["step"]) for values in told if int(values["episode"]) == whole]
    assert steps == list(range(bridge.spec.episode_steps + 1))
    rows = [values for values in told if int(values["episode"]) == whole]
    assert [values["done"] for values in rows] == ["0"] * (len(rows) - 1) + ["1"]
    rewards = sum(float(values["reward"]) for values in rows)
    assert float(rows[-1]["return"]) == pytest.approx(rewards, rel=1e-3)
    for times in (stamps(bridge.images), [to_ns(msg.clock) for msg in bridge.clocks]):
        assert all(before < after for before, after in pairwise(times))


def test_realtime_holds_the_last_command(realtime: Bridge, spec: TaskSpec) -> None:
    """One command bends a finger; many steps later, without another, it is still bent."""
    bridge, finger = realtime, "FFJ2"
    index, joint = spec.actuated_joints.index(finger), spec.joint_names.index(finger)
    msg = bridge.command(0)
    msg.position[index] = target = spec.command_high[index]
    assert bridge.set("seed", 1000)

    def at_step(step: int) -> list[JointState]:
        stamp = bridge.stamp_of.get(("1000", str(step)))
        return [] if stamp is None else with_stamp(bridge.joints, stamp)

    assert bridge.begin_paused() == "1000"
    first = bridge.probe.wait_for(lambda: at_step(0), "the first step")[0]
    bridge.to_command.publish(msg)
    bridge.pause(False)
    late = bridge.probe.wait_for(lambda: at_step(90), "many steps")[0]
    assert first.position[joint] < 0.3 * target
    assert late.position[joint] > 0.7 * target


def test_realtime_refuses_commands_for_an_episode_before(realtime: Bridge, spec: TaskSpec) -> None:
    bridge, finger = realtime, "FFJ2"
    index, joint = spec.actuated_joints.index(finger), spec.joint_names.index(finger)
    bend = spec.command_high[index]

    def publish_bent(seed: str) -> None:
        """As an answer to the first frame of the episode of that seed."""
        msg = bridge.command(bridge.stamp_of[seed, "0"])
        msg.position[index] = bend
        bridge.to_command.publish(msg)

    before, now = bridge.begin_paused(), bridge.begin_paused()
    stale = bridge.probe.fresh_count(bridge.name, "stale_commands")
    publish_bent(before)
    bridge.wait_for_count("stale_commands", stale + 1)
    bridge.pause(False)
    bridge.probe.wait_for(lambda: (now, "20") in bridge.stamp_of, "many steps")
    assert bridge.joints[-1].position[joint] < 0.5 * bend
    publish_bent(bridge.begin_paused())
    bridge.pause(False)
    bridge.probe.wait_for(lambda: bridge.joints[-1].position[joint] > 0.7 * bend, "it is bent")
    assert bridge.probe.fresh_count(bridge.name, "stale_commands") == stale + 1


def test_realtime_that_lags_says_by_how_much(bridges: dict[str, Bridge]) -> None:
    bridge = bridges["slow"]
    bridge.pause(False)
    assert bridge.call("reset").success
    bridge.probe.wait_for(
        lambda: bridge.probe.statuses[bridge.name].level == DiagnosticStatus.WARN, "a warning"
    )
    status = bridge.probe.statuses[bridge.name]
    values = status_values(status)
    # A step of 20 ms waits for a picture of 60 ms or more.
    assert "slower than real time: a control step of 20 ms takes" in status.message
    assert float(values["realtime_factor"]) <= 0.34
    assert float(values["picture_ms"]) >= 60
    assert float(values["lag_s"]) > 0.3
    assert bridge.count("late_episodes") >= 1
    assert "slower than real time" in bridge.stage.log(bridge.name)
    assert bridge.episode()["success"] == ""  # a task that only has a return
    assert bridge.episode()["return"] != ""


def test_realtime_that_cannot_begin_anew_says_so_until_it_can(
    realtime: Bridge, tmp_path: Path
) -> None:
    bridge, statuses = realtime, realtime.probe.statuses

    def told() -> str:
        """What diagnostics say that are newer than this call."""
        statuses.pop(bridge.name, None)
        bridge.probe.wait_for(lambda: bridge.name in statuses, "diagnostics")
        return statuses[bridge.name].message

    clip = tmp_path / "clip.png"
    cv2.imwrite(str(clip), np.full((8, 8, 3), 200, np.uint8))
    assert bridge.perturb(f"video_hard={tmp_path}").successful
    try:
        assert bridge.call("reset").success
        clip.unlink()
        assert not bridge.call("reset").success
        assert "no new episode" in told() and "no new episode" in told(), "though steps go on"
    finally:
        assert bridge.perturb("none").successful
    assert bridge.call("reset").success
    bridge.probe.wait_for(lambda: "no new episode" not in told(), "all is well again")
