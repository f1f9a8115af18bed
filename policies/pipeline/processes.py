"""Child processes that are stopped in order, whatever happens to their parent."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from samg_ros.errors import SamgError

STOP_TIMEOUTS_S = ((signal.SIGINT, 15.0), (signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0))
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOG_TAIL_LINES = 12
_PR_SET_PDEATHSIG = 1


@dataclass
class Child:
    """One running process. ``peak_memory_mb`` is its largest resident set seen so far."""

    name: str
    process: subprocess.Popen
    log: Path
    peak_memory_mb: float = 0.0
    status: int | None = None

    def poll(self) -> bool:
        """Whether it still runs; looks at its memory if so, and takes its exit status if not."""
        self.status = self.process.poll()
        if self.status is not None:
            return False
        self.peak_memory_mb = max(self.peak_memory_mb, _peak_memory_mb(self.process.pid))
        return True

    def log_tail(self) -> str:
        """The last lines it printed."""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(f"  | {line}" for line in lines[-LOG_TAIL_LINES:])


class Processes:
    """A context manager: on leaving, every child gets SIGINT, then SIGTERM, then SIGKILL.

    :param logs: folder for one log file a child. :param env: environment of the children.
    """

    def __init__(self, logs: Path, env: dict[str, str]) -> None:
        self._logs = logs
        self._env = env
        self.children: list[Child] = []
        logs.mkdir(parents=True, exist_ok=True)

    def start(self, name: str, module: str, arguments: list[str]) -> None:
        """Start ``python -m MODULE ARGUMENTS`` with its output in ``NAME.log``."""
        log = self._logs / f"{name}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=self._env,
                # A group of its own: Ctrl-C reaches the parent alone, which stops all in order.
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        self.children.append(Child(name, process, log))

    def check(self) -> None:
        """:raises SamgError: a child has ended by itself; the message holds its last lines."""
        for child in self.children:
            if not child.poll():
                raise SamgError(
                    f"the {child.name} process ended with status {child.status}; its last lines "
                    f"({child.log}):\n{child.log_tail()}"
                )

    def stop(self) -> None:
        """End all children; returns when none is left."""
        for number, timeout_s in STOP_TIMEOUTS_S:
            running = [child for child in self.children if child.poll()]
            for child in running:
                os.kill(child.process.pid, number)
            deadline = time.monotonic() + timeout_s
            while time.monotonic() < deadline and any(child.poll() for child in running):
                time.sleep(0.05)

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # A second signal must not interrupt the clean-up and leave processes behind.
        previous = {number: signal.signal(number, signal.SIG_IGN) for number in ENDING_SIGNALS}
        try:
            self.stop()
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def _peak_memory_mb(pid: int) -> float:
    """What Linux has kept of a running process's largest resident set; 0 where it does not say.

    Not ``ru_maxrss``: that of a child begins at what its parent held when it forked.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(peak[1]) / 1024 if peak else 0.0


def _die_with_parent() -> None:
    """Ask Linux for SIGINT when the parent is gone, so that even its SIGKILL leaves nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
