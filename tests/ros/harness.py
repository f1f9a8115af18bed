"""What the tests over DDS share: a stage with a domain of its own, its processes and a probe."""

from __future__ import annotations

import contextlib
import os
import signal
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from mcap.exceptions import McapError
from mcap.reader import NonSeekingReader
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image
from std_msgs.msg import Header

import samg_ros
from samg_ros.cli.demo import ros_arguments
from samg_ros.pipeline.processes import Child, Processes
from samg_ros.ros.diagnostics import status_values
from samg_ros.ros.environment import dds_environment, free_domain_id, isolated_environment
from samg_ros.ros.images import from_rgb
from samg_ros.ros.stamps import from_ns, to_ns

T = TypeVar("T")

# For a process that starts while others keep the machine busy. Nothing here measures speed.
DEADLINE_S = 90.0
SPIN_S = 0.02
RELIABLE = QoSProfile(depth=1000)

MASKER, POLICY = "samg_ros.nodes.masker_node", "samg_ros.nodes.policy_node"
RECORDER, BRIDGE = "samg_ros.nodes.recorder_node", "sim_bridge.bridge_node"

# An environment variable that children of children inherit too: by it a stage knows its own.
MARK = "SAMG_TEST_STAGE"


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
        """Call a service that changes nothing, again and again until it answers: what a server
        says to a client that it has only just met may be lost. :return: its response."""
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


class Stage:
    """Processes on a domain of their own, and a probe among them."""

    def __init__(self, processes: Processes, folder: Path, context: rclpy.Context) -> None:
        self._processes = processes
        self._may_end: set[str] = set()
        self.folder = folder
        self.probe = Probe(context, self._check)

    def start(
        self,
        name: str,
        module: str,
        parameters: dict | None = None,
        remappings: dict[str, str] | None = None,
        *,
        may_end: bool = False,
        kind: str = "",
    ) -> None:
        """Start a node. Its ending fails the test, unless it ``may_end``.

        :param kind: an argument before those for ROS.
        """
        arguments = ros_arguments(parameters or {}, remappings)
        self._processes.start(name, module, [*filter(None, [kind]), *arguments])
        if may_end:
            self._may_end.add(name)

    def log(self, name: str) -> str:
        """Everything a process has printed."""
        return self._child(name).log.read_text(errors="replace")

    def wait_for_log(self, name: str, text: str) -> None:
        self.probe.wait_for(lambda: text in self.log(name), f"{text!r} in the log of {name}")

    def ended(self, name: str) -> int:
        """Wait until a process has ended by itself. :return: its exit status."""
        child = self._child(name)
        self._may_end.add(name)
        self.probe.wait_for(lambda: not child.poll(), f"{name} ends")
        return child.status

    def end(self, name: str, number: signal.Signals) -> int:
        """Send a process a signal and wait for its end. :return: its exit status."""
        self.send(name, number)
        return self.ended(name)

    def send(self, name: str, number: signal.Signals) -> None:
        """Send a process a signal."""
        self._may_end.add(name)
        os.kill(self._child(name).process.pid, number)

    def _child(self, name: str) -> Child:
        """The process of that name that was started last."""
        return next(c for c in reversed(self._processes.children) if c.name == name)

    def _check(self) -> None:
        for child in self._processes.children:
            if child.name not in self._may_end and not child.poll():
                pytest.fail(f"{child.name} ended with {child.status}:\n{child.log_tail()}")


@contextlib.contextmanager
def open_stage(folder: Path, **environment: str) -> Iterator[Stage]:
    """Open a stage; on leaving nothing that was started on it may be left.

    :param folder: for logs. :param environment: further variables for the processes.
    """
    with private_environment(folder, **environment) as variables:
        context = rclpy.Context()
        domain = int(variables["ROS_DOMAIN_ID"])
        rclpy.init(
            context=context, domain_id=domain, signal_handler_options=SignalHandlerOptions.NO
        )
        with Processes(folder / "logs", variables) as processes:
            stage = Stage(processes, folder, context)
            try:
                yield stage
            finally:
                stage.probe.close()
                context.try_shutdown()


@contextlib.contextmanager
def private_environment(folder: Path, **environment: str) -> Iterator[dict[str, str]]:
    """Set this process's ROS variables for a domain apart; give those for its children.

    On leaving, whatever was started with them is ended, and fails the test if it still ran.
    """
    before = dict(os.environ)
    mark = uuid.uuid4().hex
    os.environ.update(isolated_environment(free_domain_id()))
    os.environ.update(dds_environment())
    os.environ["ROS_LOG_DIR"] = str(folder / "ros_log")
    # The very copy of the package that the tests import, wherever they were started.
    folders = [str(Path(__file__).parent), str(Path(samg_ros.__file__).parents[1])]
    path = [environment.pop("PYTHONPATH", ""), *folders, before.get("PYTHONPATH")]
    variables = {
        **os.environ,
        **environment,
        MARK: mark,
        "PYTHONPATH": os.pathsep.join(entry for entry in path if entry),
    }
    try:
        yield variables
    finally:
        os.environ.clear()
        os.environ.update(before)
        left = {pid: command_of(pid) for pid in marked(mark)}
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert not left, f"processes were left behind: {left}"


def marked(mark: str) -> list[int]:
    """Processes that inherited the mark."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if wanted in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


def command_of(pid: int) -> str:
    """A process's command line; empty where it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def on_disk(bag: Path) -> Counter[str]:
    """Messages by topic, as far as an unfinished file can be read."""
    counts: Counter[str] = Counter()
    for path in bag.glob("*.mcap"):
        with path.open("rb") as file:
            try:
                for _, channel, _ in NonSeekingReader(file).iter_messages(log_time_order=False):
                    counts[channel.topic] += 1
            except McapError:
                pass  # the end of what is written
    return counts


def picture(height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    """Noise, uint8 [H, W, 3]: no two pixels are likely the same."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def image(rgb: np.ndarray, stamp_ns: int, frame_id: str = "camera") -> Image:
    """An rgb8 message."""
    return from_rgb(rgb, Header(stamp=from_ns(stamp_ns), frame_id=frame_id))


def pixels(msg: Image) -> np.ndarray:
    """This package's own images: rgb8 as uint8 [H, W, 3], mono8 as uint8 [H, W]."""
    shape = (msg.height, msg.width, 3) if msg.encoding == "rgb8" else (msg.height, msg.width)
    return np.frombuffer(msg.data, np.uint8).reshape(shape)


def with_stamp(messages: Iterable[T], stamp_ns: int) -> list[T]:
    """Those messages that carry a stamp."""
    return [msg for msg in messages if to_ns(msg.header.stamp) == stamp_ns]


def stamps(messages: Iterable[Any]) -> list[int]:
    """The messages' stamps, ns."""
    return [to_ns(msg.header.stamp) for msg in messages]
