"""How nodes start, fail to start and stop: lifecycle services, autostart, parameters."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from harness import BRIDGE, MASKER, POLICY, RECORDER, Stage, open_stage
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from messages import image, picture
from sensor_msgs.msg import Image, JointState

from samg_ros.ros import qos

CONFIGURE, CLEANUP = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_CLEANUP
ACTIVATE, DEACTIVATE = Transition.TRANSITION_ACTIVATE, Transition.TRANSITION_DEACTIVATE
STOPPING = (signal.SIGINT, signal.SIGTERM)

# What cannot be configured: the module, its parameters, and what the log must say of it.
CANNOT = {
    "masker_without_reference": (
        MASKER,
        {"reference": "nowhere"},
        "no reference 'nowhere': neither a file nor one of adroit_door",
    ),
    "masker_without_device": (
        MASKER,
        {"reference": "adroit_door", "device": "abacus"},
        "device 'abacus' cannot be used here",
    ),
    "policy_unknown": (
        POLICY,
        {"policy": "nobody"},
        "unknown policy 'nobody'; choose one of: random, raw_student, student",
    ),
}

# Values out of range or of the wrong type, and the line with which the process ends.
BAD_PARAMETERS = {
    "masker_choice": (MASKER, {"mask_source": "tea leaves"}, "mask_source is 'tea leaves'"),
    "bridge_range": (BRIDGE, {"image_height": 4}, "image_height"),
    "bridge_type": (BRIDGE, {"seed": "seven"}, "seed"),
    "bridge_camera": (BRIDGE, {"camera": "moon", "autostart": False}, "unknown camera 'moon'"),
    "bridge_task": (BRIDGE, {"task": "origami"}, "unknown task 'origami'; choose one of"),
    "recorder_range": (RECORDER, {"flush_s": 0.0}, "flush_s"),
}


class Managed:
    """A lifecycle node as its manager sees it."""

    def __init__(self, stage: Stage, name: str, module: str, parameters: dict) -> None:
        self.name, self.stage, self.probe = name, stage, stage.probe
        remappings = {"__node": name, "image": f"/{name}/in", "joint_command": f"/{name}/out"}
        stage.start(name, module, {**parameters, "autostart": False}, remappings)

    def change(self, transition: int) -> bool:
        request = ChangeState.Request(transition=Transition(id=transition))
        return self.probe.call(ChangeState, f"/{self.name}/change_state", request).success

    def state(self) -> int:
        return self.probe.ask(GetState, f"/{self.name}/get_state").current_state.id

    def listens(self) -> bool:
        infos = self.probe.get_subscriptions_info_by_topic(f"/{self.name}/in")
        return any(info.node_name == self.name for info in infos)


@pytest.fixture(scope="module")
def managed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Managed]]:
    able = {
        "masker_able": (MASKER, {"mask_source": "none"}),
        "policy_able": (POLICY, {"policy": "random"}),
    }
    unable = {name: given[:2] for name, given in CANNOT.items()}
    with open_stage(tmp_path_factory.mktemp("lifecycle")) as stage:
        yield {name: Managed(stage, name, *given) for name, given in (able | unable).items()}


@pytest.mark.parametrize("name", ["masker_able", "policy_able"])
def test_transitions_by_service(managed: dict[str, Managed], name: str) -> None:
    node = managed[name]
    for _ in range(2):
        assert node.state() == State.PRIMARY_STATE_UNCONFIGURED
        assert not node.listens()
        assert node.change(CONFIGURE)
        assert node.state() == State.PRIMARY_STATE_INACTIVE
        assert node.change(ACTIVATE)
        assert node.state() == State.PRIMARY_STATE_ACTIVE
        node.probe.wait_for(node.listens, f"{name} listens")
        assert node.change(DEACTIVATE)
        assert node.state() == State.PRIMARY_STATE_INACTIVE
        node.probe.wait_for(lambda: not node.listens(), f"{name} no longer listens")
        assert node.change(CLEANUP)


def test_masker_works_again_after_reactivation(managed: dict[str, Managed]) -> None:
    node = managed["masker_able"]
    out = node.probe.listen(Image, f"/{node.name}/image")
    to_image = node.probe.create_publisher(Image, f"/{node.name}/in", qos.IMAGE_OUT)

    def answered(stamp: int) -> bool:
        to_image.publish(image(picture(), stamp))
        return any(msg.header.stamp.nanosec == stamp for msg in out)

    assert node.change(CONFIGURE)
    for stamp in (1, 2):
        assert node.change(ACTIVATE)
        node.probe.wait_for(lambda stamp=stamp: answered(stamp), "a masked frame")
        assert node.change(DEACTIVATE)
    assert node.change(CLEANUP)


def test_active_policy_can_be_shut_down(managed: dict[str, Managed]) -> None:
    node = managed["policy_able"]
    node.probe.listen(JointState, f"/{node.name}/out")
    assert node.change(CONFIGURE)
    assert node.change(ACTIVATE)
    assert node.change(Transition.TRANSITION_ACTIVE_SHUTDOWN)
    assert node.state() == State.PRIMARY_STATE_FINALIZED


@pytest.mark.parametrize("name", CANNOT)
def test_failed_configure_says_why_and_the_node_survives(
    managed: dict[str, Managed], name: str
) -> None:
    node = managed[name]
    for _ in range(2):
        assert not node.change(CONFIGURE)
        assert node.state() == State.PRIMARY_STATE_UNCONFIGURED
    lines = [line for line in node.stage.log(name).splitlines() if CANNOT[name][2] in line]
    assert len(lines) == 2
    assert all(line.startswith("[ERROR]") for line in lines)
    assert "Traceback" not in node.stage.log(name)


def test_what_cannot_start_ends_with_status_1(stage: Stage) -> None:
    unable = ("masker_without_reference", "policy_unknown")
    for name in unable:
        stage.start(name, *CANNOT[name][:2], may_end=True)
    for name, (module, parameters, _) in BAD_PARAMETERS.items():
        stage.start(name, module, parameters, may_end=True)
    for name in (*unable, *BAD_PARAMETERS):
        assert stage.ended(name) == 1, name
    for name, (_, _, reason) in BAD_PARAMETERS.items():
        (line,) = stage.log(name).splitlines()
        assert reason in line
    for name in unable:
        lines = stage.log(name).splitlines()
        assert len(lines) == 2, lines
        why, end = lines
        assert why.startswith("[ERROR]") and CANNOT[name][2] in why
        assert end.endswith("could not start; the line above says why")


def test_empty_list_given_from_outside(stage: Stage) -> None:
    parameters = {"bag": stage.folder / "bag", "topics": []}
    stage.start("recorder", RECORDER, parameters, may_end=True)
    stage.wait_for_log("recorder", "\n")
    assert "recording to" in stage.log("recorder")


@pytest.mark.parametrize("number", STOPPING)
def test_signal_stops_a_node_that_is_still_loading(
    fresh_stage: Stage, number: signal.Signals
) -> None:
    fresh_stage.start("node", "slow_nodes", kind="loading")
    fresh_stage.wait_for_log("node", "loading")
    assert fresh_stage.end("node", number) == 0
    assert fresh_stage.log("node") == "loading\n"


@pytest.mark.parametrize("number", STOPPING)
def test_signal_stops_a_node_that_is_being_configured(
    fresh_stage: Stage, number: signal.Signals
) -> None:
    fresh_stage.start("node", "slow_nodes", kind="configuring")
    client = fresh_stage.probe.create_client(ChangeState, "/configuring/change_state")
    fresh_stage.probe.wait_for(client.service_is_ready, "the node")
    client.call_async(ChangeState.Request(transition=Transition(id=CONFIGURE)))
    fresh_stage.wait_for_log("node", "loading")
    assert fresh_stage.end("node", number) == 0
    assert fresh_stage.log("node") == "loading\n"


def test_second_signal_does_not_cut_the_clean_up_short(fresh_stage: Stage) -> None:
    fresh_stage.start("node", "slow_nodes", kind="closing")
    fresh_stage.wait_for_log("node", "ready")
    fresh_stage.send("node", signal.SIGINT)
    fresh_stage.wait_for_log("node", "closing")
    fresh_stage.send("node", signal.SIGTERM)
    assert fresh_stage.end("node", signal.SIGINT) == 0
    assert fresh_stage.log("node") == "ready\nclosing\nclosed\n"


@pytest.mark.parametrize("number", STOPPING)
def test_error_of_the_clean_up_is_one_line(fresh_stage: Stage, number: signal.Signals) -> None:
    fresh_stage.start("node", "slow_nodes", kind="failing")
    fresh_stage.wait_for_log("node", "ready")
    assert fresh_stage.end("node", number) == 1
    assert fresh_stage.log("node") == "ready\nslow_nodes.py: the disk is full\n"
