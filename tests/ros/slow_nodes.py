"""Nodes that are slow, or fail, where a signal finds them: ``python -m slow_nodes KIND``."""

from __future__ import annotations

import sys
import time

from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node

from samg_ros.errors import SamgError
from samg_ros.ros.runtime import guarded, run


class Loading(Node):
    """Takes longer to make than anybody waits."""

    def __init__(self) -> None:
        super().__init__("loading")
        print("loading", flush=True)
        time.sleep(600)


class Closing(Node):
    """Takes a while to close."""

    def __init__(self) -> None:
        super().__init__("closing")
        self.create_timer(0.0, self._say_ready)
        self._ready = False

    def _say_ready(self) -> None:
        if not self._ready:
            print("ready", flush=True)
        self._ready = True

    def close(self) -> None:
        print("closing", flush=True)
        time.sleep(1.0)
        print("closed", flush=True)


class Failing(Closing):
    """Cannot close."""

    def close(self) -> None:
        raise SamgError("the disk is full")


class Configuring(LifecycleNode):
    """Takes longer to configure than anybody waits."""

    def __init__(self) -> None:
        super().__init__("configuring")

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        print("loading", flush=True)
        return guarded(self, lambda: time.sleep(600))


if __name__ == "__main__":
    kinds = (Loading, Closing, Failing, Configuring)
    sys.exit(run(next(kind for kind in kinds if kind.__name__.lower() == sys.argv[1])))
