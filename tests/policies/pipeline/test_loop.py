"""Bridge, masker and policy as a loop, and what becomes of it when one of them dies."""

from __future__ import annotations

import signal

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from harness import BRIDGE, MASKER, POLICY, Stage
from sensor_msgs.msg import JointState

from samg_ros.ros.diagnostics import status_values

TASK = "walker_walk"  # 500 steps an episode, and commands of effort


def start_masker(stage: Stage) -> None:
    stage.start("masker", MASKER, {"mask_source": "none"}, {"image": "/image_raw"})


def start_policy(stage: Stage) -> None:
    parameters = {"task": TASK, "policy": "random", "frame_timeout_s": 0.5, "use_sim_time": True}
    stage.start("policy", POLICY, parameters, {"image": "/masker/image"})


def test_killed_nodes_are_waited_for(stage: Stage) -> None:
    """The policy holds without the masker; with any of them back, the same episode goes on."""
    probe = stage.probe
    episode = probe.listen(DiagnosticArray, "/bridge/episode")
    commands = probe.listen(JointState, "/joint_command")
    small = {"image_height": 64, "image_width": 64}
    stage.start("bridge", BRIDGE, {"task": TASK, "resend_s": 0.3, **small})
    start_masker(stage)
    start_policy(stage)

    def where() -> tuple[int, int]:
        values = status_values(episode[-1].status[0])
        return int(values["episode"]), int(values["step"])

    def holding() -> bool:
        status = probe.statuses.get("policy")
        return status is not None and status.message.startswith("holding")

    probe.wait_for(lambda: episode and where() >= (0, 3), "the loop runs")
    stage.end("masker", signal.SIGKILL)
    probe.wait_for(holding, "the policy holds")
    assert probe.statuses["policy"].level == DiagnosticStatus.WARN
    held, number = where(), len(commands)
    probe.wait_for(lambda: len(commands) > number, "a command while holding")
    assert set(commands[-1].effort) == {0.0}
    assert where() == held

    seen = len(episode)
    start_masker(stage)
    probe.wait_for(lambda: len(episode) > seen + 3, "the loop goes on")
    assert steps(episode[seen:][:1]) == [(held[0], held[1] + 1)]
    probe.wait_for(lambda: not holding(), "the policy no longer holds")

    stage.end("policy", signal.SIGKILL)
    probe.wait_for_count("bridge", "resent_frames", probe.count("bridge", "resent_frames") + 2)
    stopped, seen = where(), len(episode)
    start_policy(stage)
    probe.wait_for(lambda: len(episode) > seen + 3, "the loop goes on")
    assert steps(episode[seen:][:1]) == [(stopped[0], stopped[1] + 1)]
    assert probe.count("bridge", "timeouts") == 0


def steps(messages: list[DiagnosticArray]) -> list[tuple[int, int]]:
    """(episode, step) of each message."""
    values = [status_values(msg.status[0]) for msg in messages]
    return [(int(v["episode"]), int(v["step"])) for v in values]
