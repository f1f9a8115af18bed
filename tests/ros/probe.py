"""The node of a test over DDS: it publishes, listens, calls, and waits for conditions."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from typing import Any, TypeVar

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile

from samg_ros.ros.diagnostics import status_values
from samg_ros.ros.qos import to_ns

T = TypeVar("T")

# For a process that starts while others keep the machine busy. Nothing here measures speed.
DEADLINE_S = 90.0
SPIN_S = 0.02
# What a server says to a client that it has not met yet is lost, and only the client can tell
# when it has met the server.
ACQUAINTANCE_S = 0.5
RELIABLE = QoSProfile(depth=1000)


class Probe(Node):
    """The test's own node: publishes, listens, calls, and waits for conditions.

    ``statuses``: the latest diagnostics by the name of their node; ``times``: their stamps, ns.
    """

    def __init__(self, context: rclpy.Context, check: Callable[[], None]) -> None:
        super().__init__("probe", context=context)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self)
        self._check = check
        self._callers: dict[str, Any] = {}
        self.statuses: dict[str, DiagnosticStatus] = {}
        self.times: dict[str, int] = {}
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_status, RELIABLE)

    def wait_for(self, condition: Callable[[], T], what: str) -> T:
        """Spin until ``condition`` is truthy. :return: what it gave."""
        deadline = time.monotonic() + DEADLINE_S
        while not (result := condition()):
            if time.monotonic() > deadline:
                pytest.fail(f"waited {DEADLINE_S:.0f} s in vain: {what}; {self.statuses}")
            self._executor.spin_once(timeout_sec=SPIN_S)
            self._check()
        return result

    def listen(self, msgtype: type[T], topic: str) -> list[T]:
        """A list that grows by every message on ``topic``."""
        inbox: list[T] = []
        self.create_subscription(msgtype, topic, inbox.append, RELIABLE)
        return inbox

    def call(self, srv_type: type, name: str, request: Any = None) -> Any:
        """Call a service. :return: its response."""
        client = self._caller(srv_type, name)
        future = client.call_async(srv_type.Request() if request is None else request)
        return self.wait_for(lambda: future.done() and future.result(), f"answer of {name}")

    def ask(self, srv_type: type, name: str) -> Any:
        """Call a service that changes nothing, again and again until it answers, however long its
        server needs to meet this client. :return: its response."""
        client = self._caller(srv_type, name)
        asked: list[Any] = []
        rounds = count()

        def answered() -> Any:
            if next(rounds) % 200 == 0:
                asked.append(client.call_async(srv_type.Request()))
            return next((future.result() for future in asked if future.done()), None)

        return self.wait_for(answered, f"answer of {name}")

    def _caller(self, srv_type: type, name: str) -> Any:
        """A client whose service is there."""
        if name not in self._callers:
            self._callers[name] = self.create_client(srv_type, name)
            self.wait_for(self._callers[name].service_is_ready, f"service {name}")
            met_at = time.monotonic() + ACQUAINTANCE_S
            self.wait_for(lambda: time.monotonic() > met_at, f"{name} knows this client")
        self.wait_for(self._callers[name].service_is_ready, f"service {name}")
        return self._callers[name]

    def set_parameter(self, node: str, name: str, value: Any) -> bool:
        """:return: whether the node accepts it."""
        given = Parameter(name, value=value).to_parameter_msg()
        request = SetParameters.Request(parameters=[given])
        return self.call(SetParameters, f"{node}/set_parameters", request).results[0].successful

    def count(self, node: str, key: str) -> int:
        """A counter in the latest diagnostics of a node; 0 where it is not there."""
        status = self.statuses.get(node)
        return int(status_values(status).get(key, 0)) if status else 0

    def fresh_count(self, node: str, key: str) -> int:
        """A counter in diagnostics that are newer than everything that was answered so far."""
        self.statuses.pop(node, None)
        self.wait_for(lambda: node in self.statuses, f"diagnostics of {node}")
        return self.count(node, key)

    def wait_for_count(self, node: str, key: str, value: int) -> None:
        """Wait until a node's diagnostics show a counter at ``value`` or beyond."""
        self.wait_for(lambda: self.count(node, key) >= value, f"{node} counts {value} {key}")

    def close(self) -> None:
        self._executor.shutdown()
        self.destroy_node()

    def _on_status(self, msg: DiagnosticArray) -> None:
        for status in msg.status:
            self.statuses[status.name] = status
            self.times[status.name] = to_ns(msg.header.stamp)
