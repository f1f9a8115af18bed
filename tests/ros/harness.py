"""What the tests over DDS share: a stage with a domain of its own, its processes and a probe."""

from __future__ import annotations

import contextlib
import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import rclpy
from probe import Probe
from rclpy.signals import SignalHandlerOptions

import samg_ros
from policies.pipeline.processes import Child, Processes
from policies.pipeline.simulated import ros_arguments
from samg_ros.ros.environment import dds_environment, free_domain_id, isolated_environment

MASKER, POLICY = "samg_ros.nodes.masker_node", "policies.node.policy_node"
RECORDER, BRIDGE = "samg_ros.nodes.recorder_node", "sim_bridge.bridge.node"

# An environment variable that children of children inherit too: by it a stage knows its own.
MARK = "SAMG_TEST_STAGE"


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
