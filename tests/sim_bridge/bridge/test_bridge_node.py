"""The bridge as a process, in lockstep: its episodes, and commands that do not fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import pytest
from bridge_probe import HEIGHT, NEVER_S, WIDTH, Bridge, open_bridges, spec_of
from diagnostic_msgs.msg import DiagnosticStatus
from messages import stamps, with_stamp
from sensor_msgs.msg import JointState

from samg_ros.ros.qos import from_ns, to_ns
from sim_bridge.task import TaskSpec, make_task

TASK = "adroit_door"


@pytest.fixture(scope="module")
def spec() -> TaskSpec:
    return spec_of(TASK)


@pytest.fixture(scope="module")
def bridges(tmp_path_factory: pytest.TempPathFactory, spec: TaskSpec) -> Iterator[dict]:
    kinds: dict[str, dict] = {
        "lockstep": {"spec": spec, "command_timeout_s": NEVER_S, "publish_depth": True},
        "impatient": {"spec": spec, "command_timeout_s": 1.0, "resend_s": 0.2},
    }
    with open_bridges(tmp_path_factory.mktemp("bridges"), kinds) as started:
        yield started


@pytest.fixture
def bridge(bridges: dict[str, Bridge]) -> Bridge:
    """The one in lockstep, running."""
    bridge = bridges["lockstep"]
    bridge.pause(False)
    return bridge


def test_everything_of_one_step_has_one_stamp(bridge: Bridge, spec: TaskSpec) -> None:
    frame = bridge.step(bridge.reset())
    stamp = to_ns(frame.header.stamp)
    inboxes = (bridge.infos, bridge.joints, bridge.truths, bridge.images)
    info, joints, truth, image = (with_stamp(inbox, stamp)[-1] for inbox in inboxes)
    assert frame.header.frame_id == info.header.frame_id == spec.default_camera
    assert (image.height, image.width, image.encoding) == (HEIGHT, WIDTH, "rgb8")
    assert (truth.height, truth.width, truth.encoding) == (HEIGHT, WIDTH, "mono8")
    assert set(truth.data) == {0, 255}
    assert tuple(joints.name) == spec.joint_names
    assert len(joints.position) == len(joints.velocity) == len(spec.joint_names)
    assert to_ns(bridge.clocks[-1].clock) == stamp


def test_camera_info(bridge: Bridge) -> None:
    task = make_task(TASK)
    fovy_rad = task.camera_fovy_rad()
    task.close()
    bridge.reset()
    info = bridge.infos[-1]
    focal = HEIGHT / (2 * math.tan(fovy_rad / 2))
    assert (info.height, info.width) == (HEIGHT, WIDTH)
    np.testing.assert_allclose(info.k, [focal, 0, 31.5, 0, focal, 23.5, 0, 0, 1])
    np.testing.assert_array_equal(np.reshape(info.r, (3, 3)), np.eye(3))
    np.testing.assert_allclose(np.reshape(info.p, (3, 4))[:, :3].ravel(), info.k)


def test_depth_is_published_where_it_is_asked_for(bridges: dict, bridge: Bridge) -> None:
    assert bridge.set("seed", 4)
    frame = bridge.reset()
    stamp = to_ns(frame.header.stamp)
    bridge.probe.wait_for(lambda: with_stamp(bridge.depths, stamp), "depth")
    msg = with_stamp(bridge.depths, stamp)[0]
    assert (msg.encoding, msg.is_bigendian, msg.step) == ("32FC1", 0, 4 * WIDTH)
    assert msg.header.frame_id == frame.header.frame_id
    task = make_task(TASK, height=HEIGHT, width=WIDTH)
    task.reset(4)
    depth = np.frombuffer(msg.data, "<f4").reshape(msg.height, msg.width)
    np.testing.assert_array_equal(depth, task.depth())
    task.close()
    assert bridges["impatient"].images and not bridges["impatient"].depths


def test_the_episode_tells_return_success_and_length(bridge: Bridge, spec: TaskSpec) -> None:
    task = make_task(TASK, height=HEIGHT, width=WIDTH)
    task.reset(9)
    middle = spec.action_to_command(np.zeros(spec.action_size))
    rewards = [task.step(middle).reward for _ in range(4)]
    task.close()
    assert bridge.set("seed", 9)
    frame = bridge.reset()
    assert (bridge.episode()["step"], float(bridge.episode()["return"])) == ("0", 0.0)
    for step, reward in enumerate(rewards, 1):
        frame = bridge.step(frame)
        told = bridge.episode()
        assert (told["step"], told["success"], told["done"]) == (str(step), "0", "0")
        assert float(told["reward"]) == pytest.approx(reward, rel=1e-4)
        assert float(told["return"]) == pytest.approx(sum(rewards[:step]), rel=1e-4)


def test_lockstep_waits_for_the_command_of_its_frame(bridge: Bridge, spec: TaskSpec) -> None:
    first = bridge.reset()
    second = bridge.step(first)
    dt_ns = round(spec.control_dt_s * 1e9)
    assert stamps([second]) == [to_ns(first.header.stamp) + dt_ns]
    stale, seen = bridge.count("stale_commands"), len(bridge.images)
    for number, wrong in enumerate((first.header.stamp, from_ns(0)), 1):
        bridge.to_command.publish(bridge.command(to_ns(wrong)))
        bridge.wait_for_count("stale_commands", stale + number)
    assert len(bridge.images) == seen
    third = bridge.step(second)
    assert stamps([third]) == [to_ns(second.header.stamp) + dt_ns]


def unknown_joint(msg: JointState) -> None:
    msg.name[0] = "elbow"


def not_a_number(msg: JointState) -> None:
    msg.position[0] = math.nan


def too_short(msg: JointState) -> None:
    msg.position = msg.position[:-1]


def nothing(msg: JointState) -> None:
    msg.name, msg.position = [], []


def beyond_its_limit(msg: JointState) -> None:
    msg.position[3] = 10.0


@pytest.mark.parametrize(
    "breakage", [unknown_joint, not_a_number, too_short, nothing, beyond_its_limit]
)
def test_commands_that_do_not_fit_are_refused(
    bridge: Bridge, breakage: Callable[[JointState], None]
) -> None:
    frame = bridge.reset()
    msg = bridge.command(to_ns(frame.header.stamp))
    breakage(msg)
    refused, seen = bridge.count("refused_commands"), len(bridge.images)
    bridge.to_command.publish(msg)
    bridge.wait_for_count("refused_commands", refused + 1)
    assert "command refused: command " in bridge.stage.log(bridge.name)
    assert len(bridge.images) == seen
    bridge.step(frame)


def test_a_limit_itself_is_no_reason_to_refuse(bridge: Bridge, spec: TaskSpec) -> None:
    frame = bridge.reset()
    seen = len(bridge.images)
    highest = np.float32(spec.command_high).tolist()  # rounded, some of them upwards
    assert any(np.array(highest) > spec.command_high)
    bridge.to_command.publish(bridge.command(to_ns(frame.header.stamp), position=highest))
    bridge.frame(seen)


def test_joints_of_a_command_come_in_any_order(bridge: Bridge) -> None:
    frame = bridge.reset()
    forward = bridge.command(to_ns(frame.header.stamp))
    names, values = list(forward.name)[::-1], list(forward.position)[::-1]
    seen = len(bridge.images)
    bridge.to_command.publish(
        bridge.command(to_ns(frame.header.stamp), name=names, position=values)
    )
    backward = bridge.frame(seen)
    joints = with_stamp(bridge.joints, to_ns(backward.header.stamp))[0].position
    bridge.set("seed", int(bridge.episode()["seed"]))
    again = bridge.step(bridge.reset())
    assert with_stamp(bridge.joints, to_ns(again.header.stamp))[0].position == joints


def test_reset_begins_the_episode_of_the_seed(bridge: Bridge) -> None:
    pictures = {}
    for seed in (5, 6, 5):
        assert bridge.set("seed", seed)
        seen = len(bridge.images)
        assert bridge.call("reset").message == f"seed {seed}"
        picture = bytes(bridge.frame(seen).data)
        assert bridge.episode()["seed"] == str(seed)
        assert pictures.setdefault(seed, picture) == picture
    assert pictures[5] != pictures[6]
    assert bridge.call("reset").message == "seed 6"
    assert bridge.call("reset").message == "seed 7"


def test_seed_out_of_range_is_refused(bridge: Bridge) -> None:
    assert bridge.set("seed", 3)
    assert not bridge.set("seed", -1)
    assert bridge.call("reset").message == "seed 3"


def test_clock_never_goes_back(bridge: Bridge) -> None:
    for _ in range(3):
        bridge.step(bridge.step(bridge.reset()))
    times = [to_ns(msg.clock) for msg in bridge.clocks]
    assert len(times) > 9
    assert all(before < after for before, after in pairwise(times))


def test_pause_and_step(bridge: Bridge) -> None:
    refusal = bridge.call("step")
    assert not refusal.success and "not paused" in refusal.message
    frame = bridge.reset()
    assert bridge.pause(True) == "paused"
    seen, done = len(bridge.images), bridge.probe.fresh_count(bridge.name, "frames")

    def take(steps: int) -> None:
        """Answer frames until no step is allowed any more: that many more frames came."""
        nonlocal frame, seen, done
        for _ in range(steps):
            frame = bridge.frame(seen)
            seen += 1
            bridge.answer(frame)
        done += steps
        bridge.wait_for_count("frames", done)
        assert len(bridge.images) == seen

    bridge.answer(frame)
    done += 1
    bridge.wait_for_count("frames", done)
    assert len(bridge.images) == seen
    assert bridge.call("step").message == "1 control steps"
    take(1)
    assert bridge.set("steps_per_call", 3)
    assert bridge.call("step").message == "3 control steps"
    take(3)
    assert bridge.pause(False) == "running"
    bridge.step(bridge.frame(seen))
    assert bridge.set("steps_per_call", 1)


def test_command_timeout_is_reported(bridges: dict[str, Bridge]) -> None:
    bridge = bridges["impatient"]
    bridge.step(bridge.reset())
    timeouts = bridge.count("timeouts")
    bridge.probe.wait_for(lambda: bridge.episode()["timed_out"] == "1", "the episode is given up")
    assert bridge.episode()["done"] == "1"
    bridge.wait_for_count("timeouts", timeouts + 1)
    assert bridge.count("resent_frames") >= 1
    status = bridge.probe.statuses[bridge.name]
    assert (status.level, status.message) == (DiagnosticStatus.WARN, "no command")
    assert "episode given up. Is a policy running" in bridge.stage.log(bridge.name)
    bridge.step(bridge.reset())
    assert bridge.episode()["timed_out"] == "0"


def test_paused_bridge_sends_lost_frames_again_but_is_patient(bridges: dict) -> None:
    bridge = bridges["impatient"]
    bridge.pause(True)
    frame = bridge.reset()
    resent = bridge.count("resent_frames")
    bridge.wait_for_count("resent_frames", resent + 8)  # longer than command_timeout_s
    assert bridge.episode()["timed_out"] == "0"
    assert len(with_stamp(bridge.images, to_ns(frame.header.stamp))) > 4
    bridge.pause(False)
    seen = len(bridge.episodes)
    bridge.answer(frame)
    bridge.probe.wait_for(lambda: len(bridge.episodes) > seen, "a step")
    assert bridge.episode()["step"] == "1"
