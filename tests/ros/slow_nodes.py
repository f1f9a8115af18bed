"""Nodes that are slow, or fail, where a signal finds them: ``python -m slow_nodes KIND``."""

from __future__ import annotations

import sys
import time

from rclpy.node import Node

from samg_ros.errors import SamgError
from samg_ros.ros.runtime import run


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


if __name__ == "__main__":
    kinds = {"loading": Loading, "closing": Closing, "failing": Failing}
    sys.exit(run(kinds[sys.argv[1]]))
