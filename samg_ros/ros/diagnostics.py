"""What a node tells about itself: rates, latencies and counts on ``/diagnostics``."""

from __future__ import annotations

import time
from collections import Counter, deque

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from samg_ros.ros.qos import STATUS

PERIOD_S = 1.0
LOG_PERIOD_S = 1.0
WINDOW = 200


class Monitor:
    """Collects figures and publishes them once a second (steady clock: also while paused).

    :param node: whose name the status carries.
    :param facts: what does not change, such as the device.
    """

    def __init__(self, node: Node, facts: dict[str, str] | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self.facts = dict(facts or {})
        self.warning = ""
        self._node = node
        self._logged_at: dict[str, float] = {}
        self._times: deque[float] = deque(maxlen=WINDOW)
        self._latencies: deque[float] = deque(maxlen=WINDOW)
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", STATUS)
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(PERIOD_S, self.publish, clock=clock)

    def frame(self, latency_s: float) -> None:
        """One unit of work is done, and took ``latency_s``."""
        self.counts["frames"] += 1
        self._times.append(time.monotonic())
        self._latencies.append(latency_s)

    def count_error(self, kind: str, message: str) -> None:
        """Count a refused input and log it, at most once a second for each kind."""
        self.counts[kind] += 1
        # rclpy throttles by line of code: one kind that comes often would hide all others.
        now = time.monotonic()
        if now - self._logged_at.get(kind, -LOG_PERIOD_S) >= LOG_PERIOD_S:
            self._logged_at[kind] = now
            self._node.get_logger().warning(message)

    def publish(self) -> None:
        level = DiagnosticStatus.WARN if self.warning else DiagnosticStatus.OK
        values = {**self.facts, **self._figures(), **self.counts}
        message = DiagnosticArray()
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.status = [status_message(self._node.get_name(), level, self.warning, values)]
        self._publisher.publish(message)

    def _figures(self) -> dict[str, str]:
        if len(self._times) < 2:
            return {}
        span = self._times[-1] - self._times[0]
        p50, p95 = np.percentile(self._latencies, [50, 95]) * 1e3
        return {
            "rate_hz": f"{(len(self._times) - 1) / max(span, 1e-9):.1f}",
            "latency_p50_ms": f"{p50:.1f}",
            "latency_p95_ms": f"{p95:.1f}",
        }


def status_message(name: str, level: bytes, message: str, values: dict) -> DiagnosticStatus:
    """A DiagnosticStatus whose values are the dictionary's, as text."""
    pairs = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    return DiagnosticStatus(level=level, name=name, message=message, values=pairs)


def status_values(status: DiagnosticStatus) -> dict[str, str]:
    """The values of a DiagnosticStatus as a dictionary."""
    return {pair.key: pair.value for pair in status.values}
