"""How fast a policy is as a node: observations in, commands back, one after the other."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Header

from policies.base import Observation, PolicySpec
from samg_ros.bench.policy_options import PolicyBench
from samg_ros.bench.policy_speed import observations
from samg_ros.errors import SamgError
from samg_ros.pipeline.processes import Processes
from samg_ros.ros import qos
from samg_ros.ros.diagnostics import WINDOW, status_values
from samg_ros.ros.environment import dds_environment, free_domain_id, isolated_environment
from samg_ros.ros.images import from_rgb
from samg_ros.ros.stamps import to_ns

READY_TIMEOUT_S = 120.0
ANSWER_TIMEOUT_S = 2.0
PERIOD_S = 0.01
"""From an answer to the next observation: a camera does not wait at the door either."""


@dataclass(frozen=True)
class NodeFigures:
    """``inside``: in the node, from a frame's arrival to its command's publication, over the last
    frames, as it says on ``/diagnostics``. ``around``: from publishing an observation to the
    command's arrival in another process. ``lost``: observations without an answer."""

    policy: str
    inside_p50_ms: float
    inside_p95_ms: float
    around_p50_ms: float
    around_p95_ms: float
    frames: int
    lost: int


def measure_node(name: str, source: str, spec: PolicySpec, bench: PolicyBench) -> NodeFigures:
    """Start a policy node and time it.

    :param source: what the node's ``policy`` parameter takes.
    :raises SamgError: it does not start, or dies; the message holds its last lines.
    """
    os.environ.update(dds_environment() | isolated_environment(free_domain_id()))
    arguments = ["--ros-args", "-p", f"task:={spec.task}", "-p", f"policy:={source}"]
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            Processes(Path(folder), dict(os.environ)) as processes,
        ):
            processes.start("policy", "samg_ros.nodes.policy_node", arguments)
            camera = _Camera(spec, processes.check)
            return camera.time_answers(name, observations(spec, bench.seed), bench.calls)
    finally:
        rclpy.try_shutdown()


class _Camera(Node):
    """Camera and joints of the robot that the node believes it drives."""

    def __init__(self, spec: PolicySpec, check: Callable[[], None]) -> None:
        super().__init__("bench_policy")
        self._check, self._spec = check, spec
        self._answered = -1
        self._told: dict[str, str] = {}
        self._images = self.create_publisher(Image, "image", qos.IMAGE_OUT)
        self._joints = self.create_publisher(JointState, "joint_states", qos.STATUS)
        self.create_subscription(JointState, "joint_command", self._on_command, qos.COMMAND)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_status, qos.STATUS)

    def time_answers(self, name: str, shown: list[Observation], calls: int) -> NodeFigures:
        """Send so many observations; what the first ones meet is a cold start, untimed."""
        self._until(lambda: self._images.get_subscription_count() > 0, READY_TIMEOUT_S)
        self._until(lambda: self._answer(shown[0]) is not None, READY_TIMEOUT_S)
        took = [self._answer(shown[n % len(shown)]) for n in range(max(calls, WINDOW))]
        around = np.array([one for one in took if one is not None]) * 1e3
        if not around.size:
            raise SamgError("the policy node answers no observation in time")
        self._told = {}
        self._until(lambda: "latency_p50_ms" in self._told, READY_TIMEOUT_S)
        return NodeFigures(
            policy=name,
            inside_p50_ms=float(self._told["latency_p50_ms"]),
            inside_p95_ms=float(self._told["latency_p95_ms"]),
            around_p50_ms=float(np.percentile(around, 50)),
            around_p95_ms=float(np.percentile(around, 95)),
            frames=len(took),
            lost=len(took) - around.size,
        )

    def _answer(self, observation: Observation) -> float | None:
        """:return: seconds until the command of this observation was here; None without one."""
        time.sleep(PERIOD_S)
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self._spec.camera)
        names, positions = list(self._spec.joint_names), observation.joints.tolist()
        image = from_rgb(observation.image, header)
        began = time.perf_counter()
        self._joints.publish(JointState(header=header, name=names, position=positions))
        self._images.publish(image)
        stamp = to_ns(header.stamp)
        while self._answered != stamp:
            rclpy.spin_once(self, timeout_sec=ANSWER_TIMEOUT_S)
            if time.perf_counter() - began > ANSWER_TIMEOUT_S:
                self._check()
                return None
        return time.perf_counter() - began

    def _until(self, condition: Callable[[], bool], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            rclpy.spin_once(self, timeout_sec=PERIOD_S)
            self._check()
            if time.monotonic() > deadline:
                raise SamgError(f"the policy node is not ready after {timeout_s:.0f} s")

    def _on_command(self, msg: JointState) -> None:
        self._answered = to_ns(msg.header.stamp)

    def _on_status(self, msg: DiagnosticArray) -> None:
        for status in msg.status:
            if status.name == "policy":
                self._told = status_values(status)
