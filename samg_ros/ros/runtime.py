"""How every node of this package starts, spins and stops."""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import rclpy
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future

from samg_ros.errors import SamgError
from samg_ros.ros.environment import END_WITH, clear_shared_memory

SIGNALS = (signal.SIGINT, signal.SIGTERM)
END_WITH_PARENT = "end_with_parent"
"""The parameter of every node for launches of others, which set no environment."""
_END_WITH_PARENT = ParameterDescriptor(
    description="end, as at SIGTERM, when the process that started this node has ended",
    read_only=True,
)
_loading = False


def run(make_node: Callable[[], Node], args: list[str] | None = None) -> int:
    """Spin a node until SIGINT or SIGTERM, then take it down in order.

    :return: exit status: 0 after a signal, 1 after an error of ours, said in one line.
    """
    try:
        _spin(make_node, args)
    except SamgError as error:
        print(f"{sys.argv[0].rsplit('/', 1)[-1]}: {error}", file=sys.stderr)
        return 1
    finally:
        rclpy.try_shutdown()
    return 0


def _spin(make_node: Callable[[], Node], args: list[str] | None) -> None:
    node = None
    try:
        with _signalled() as ended:
            if launcher := os.environ.get(END_WITH, "").strip():
                end_with(int(launcher))
            clear_shared_memory()  # of nodes that were killed
            with _interruptible():
                # Not rclpy's handlers: they would invalidate the context under a node that is
                # still loading, or that has yet to command a robot to stand still.
                rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
                node = make_node()
            if node.declare_parameter(END_WITH_PARENT, False, _END_WITH_PARENT).value:
                end_with(os.getppid())
            rclpy.spin_until_future_complete(node, ended)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        # A second signal must not cut the clean-up short: a bag would stay unfinished.
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        if node is not None:
            _take_down(node)


def end_with(pid: int) -> None:
    """Send this process SIGTERM as soon as another has ended, however it did. Linux alone."""

    def wait() -> None:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:  # it is gone already
            pass
        else:
            select.select([handle], [], [])
            os.close(handle)
        os.kill(os.getpid(), signal.SIGTERM)

    if hasattr(os, "pidfd_open"):
        threading.Thread(target=wait, daemon=True, name="end with parent").start()


@contextmanager
def _signalled() -> Iterator[Future]:
    """A future that is done with the first signal.

    Python's own handler runs only between two of its instructions, which a spin that waits for
    messages does not reach; a byte in a pipe reaches a thread at once.
    """
    ended = Future()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in SIGNALS:
        signal.signal(number, _on_signal)

    def wait() -> None:
        if os.read(reader, 1):
            ended.set_result(None)

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    try:
        yield ended
    finally:
        signal.set_wakeup_fd(before)
        os.close(writer)
        waiting.join()
        os.close(reader)


def _take_down(node: Node) -> None:
    close = getattr(node, "close", None)
    try:
        if close is not None:
            close()
    finally:
        node.destroy_node()


def _on_signal(number: int, frame: object) -> None:
    if _loading:
        raise KeyboardInterrupt


@contextmanager
def _interruptible() -> Iterator[None]:
    """What takes long is interrupted by a signal; callbacks come to their end, so that none
    leaves a message half written."""
    global _loading
    before, _loading = _loading, True
    try:
        yield
    finally:
        _loading = before


def autostart(node: LifecycleNode) -> None:
    """Configure and activate a lifecycle node by itself, for use without a manager.

    :raises SamgError: the configuration failed; the node has logged why.
    """
    for trigger in (node.trigger_configure, node.trigger_activate):
        if trigger() != TransitionCallbackReturn.SUCCESS:
            raise SamgError(f"{node.get_name()} could not start; the line above says why")


def guarded(node: Node, step: Callable[[], None]) -> TransitionCallbackReturn:
    """Run a lifecycle step; an error of ours becomes FAILURE with one clear line."""
    try:
        with _interruptible():
            step()
    except SamgError as error:
        node.get_logger().error(str(error))
        return TransitionCallbackReturn.FAILURE
    return TransitionCallbackReturn.SUCCESS


class _ToRos(logging.Handler):
    def __init__(self, node: Node) -> None:
        super().__init__()
        self._logger = node.get_logger()

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if record.levelno >= logging.WARNING:
            self._logger.warning(text)
        else:
            self._logger.info(text)


def forward_logging(node: Node) -> None:
    """Send what the ROS-free packages log to the node's own logger."""
    logger = logging.getLogger("samg_ros")
    logger.handlers[:] = [_ToRos(node)]
    logger.setLevel(logging.INFO)
    logger.propagate = False
