"""What a node reports about itself: rates, latencies and counts on ``/diagnostics``."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from samg_ros.errors import quoted
from samg_ros.ros.qos import STATUS

NOT_RECORDING = "not recording"
"""How the recorder's warning begins once it has stopped."""
PERIOD_S = 1.0
LOG_PERIOD_S = 1.0
WINDOW = 200


class Figures:
    """What is counted and measured of one thing. The methods may be called from any thread.

    :param log: where warnings go.
    :param facts: what does not change, such as the device.
    :param whole: the figures of what this is a part of; what is counted here counts there too.
    """

    def __init__(
        self,
        log: Callable[[str], object],
        facts: dict[str, str] | None = None,
        whole: Figures | None = None,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.facts = dict(facts or {})
        self.warning = ""
        self.is_error = False  # what the warning says is one
        self._log = log
        self._whole = whole
        self._lock = threading.Lock()
        self._logged_at: dict[str, float] = {}
        self._times: deque[float] = deque(maxlen=WINDOW)
        self._latencies: deque[float] = deque(maxlen=WINDOW)

    def count(self, kind: str, more: int = 1) -> None:
        """So many more of a kind."""
        with self._lock:
            self.counts[kind] += more
        if self._whole is not None:
            self._whole.count(kind, more)

    def frame(self, latency_s: float) -> None:
        """One unit of work is done, and took ``latency_s``."""
        with self._lock:
            self.counts["frames"] += 1
            self._times.append(time.monotonic())
            self._latencies.append(latency_s)
        if self._whole is not None:
            self._whole.frame(latency_s)

    def tell(self, facts: dict[str, str], warning: str) -> None:
        """What holds from now on; an empty warning says that all is well."""
        with self._lock:
            self.facts.update(facts)
            self.warning = warning

    def count_error(self, kind: str, message: str, more: int = 1) -> None:
        """Count refused inputs and log the message, at most once a second for each kind."""
        self.count(kind, more)
        # rclpy throttles by line of code: one kind that comes often would hide all others.
        now = time.monotonic()
        with self._lock:
            is_due = now - self._logged_at.get(kind, -LOG_PERIOD_S) >= LOG_PERIOD_S
            if is_due:
                self._logged_at[kind] = now
        if is_due:
            self._log(message)

    def surviving(self, callback: Callable[..., Any]) -> Callable[..., None]:
        """A callback that never ends its node: what it raises is counted and logged."""

        def call(*given: Any) -> None:
            try:
                callback(*given)
            except Exception as error:
                text = f"{type(error).__name__}: {quoted(error)}"
                name = getattr(callback, "__name__", "a callback").strip("_")
                self.count_error("failed_callbacks", f"{name} failed: {text}")

        return call

    def values(self) -> dict[str, object]:
        """Facts, rates and counts as they are now."""
        with self._lock:
            return {**self.facts, **self._rates(), **self.counts}

    def _rates(self) -> dict[str, str]:
        if len(self._times) < 2:
            return {}
        span = self._times[-1] - self._times[0]
        p50, p95 = np.percentile(self._latencies, [50, 95]) * 1e3
        return {
            "rate_hz": f"{(len(self._times) - 1) / max(span, 1e-9):.1f}",
            "latency_p50_ms": f"{p50:.1f}",
            "latency_p95_ms": f"{p95:.1f}",
        }


class Monitor(Figures):
    """A node's figures, published once a second (steady clock: also while paused).

    :param node: whose name the status carries.
    :param facts: what does not change, such as the device.
    """

    def __init__(self, node: Node, facts: dict[str, str] | None = None) -> None:
        super().__init__(node.get_logger().warning, facts)
        self._node = node
        self._parts: dict[str, Figures] = {}
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", STATUS)
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(PERIOD_S, self.publish, clock=clock)

    def part(self, name: str) -> Figures:
        """Figures of a part of the node, which has a status of its own, ``NODE/NAME``."""
        warn = self._node.get_logger().warning
        self._parts[name] = Figures(lambda text: warn(f"{name}: {text}"), whole=self)
        return self._parts[name]

    def publish(self) -> None:
        name = self._node.get_name()
        warnings = {part: figures.warning for part, figures in self._parts.items()}
        own = [self.warning, *(f"{part}: {text}" for part, text in warnings.items() if text)]
        message = DiagnosticArray()
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.status = [
            _status(name, "; ".join(filter(None, own)), self),
            *(_status(f"{name}/{p}", warnings[p], self._parts[p]) for p in warnings),
        ]
        self._publisher.publish(message)


def _status(name: str, warning: str, figures: Figures) -> DiagnosticStatus:
    grave = DiagnosticStatus.ERROR if figures.is_error else DiagnosticStatus.WARN
    level = grave if warning else DiagnosticStatus.OK
    return status_message(name, level, warning, figures.values())


def status_message(name: str, level: bytes, message: str, values: dict) -> DiagnosticStatus:
    """A DiagnosticStatus whose values are the dictionary's, as text."""
    pairs = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    return DiagnosticStatus(level=level, name=name, message=message, values=pairs)


def status_values(status: DiagnosticStatus) -> dict[str, str]:
    """The values of a DiagnosticStatus as a dictionary."""
    return {pair.key: pair.value for pair in status.values}
