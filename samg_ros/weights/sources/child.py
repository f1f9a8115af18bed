"""Run a registry's client as a child process that is stopped when nothing arrives any more."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from samg_ros.weights.sources import Log, SourceError

# The ROS 2 wheels start Python again with these two set. A client of the system (npm, node) would
# then load the wheels' libraries in place of its own, and a child Python would skip its set-up.
ROS_WHEELS_VARIABLES = ("LD_LIBRARY_PATH", "_ROS_WHEELS_BOOTSTRAP_COMPLETE")
POLL_S = 0.1
LOG_EVERY_S = 5.0
ERROR_MARKS = ("ERROR: ", "npm error ", "npm ERR! ")


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what the ROS 2 wheels add to it, plus ``extra``."""
    environment = {k: v for k, v in os.environ.items() if k not in ROS_WHEELS_VARIABLES}
    environment.update(extra or {})
    return environment


def folder_bytes(folder: Path) -> int:
    """Bytes in all files under ``folder``; files that vanish meanwhile count nothing."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(root) / name).lstat().st_size
            except FileNotFoundError:
                continue
    return total


def run(
    command: Sequence[str],
    work: Path,
    log: Log,
    *,
    what: str,
    stall_s: float = 60.0,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run ``command`` in ``work`` and return what it wrote to standard output.

    The client must write below ``work``: growth there is the sign of life. Its temporary folder
    is put there too.

    :param what: for messages, e.g. ``npm pack``.
    :param stall_s: seconds without growth after which the child is stopped.
    :raises SourceError: it cannot be started, fails, or stalls.
    """
    out_path, err_path = work / ".stdout", work / ".stderr"
    variables = clean_environment({"TMPDIR": str(work), **(environment or {})})
    with out_path.open("wb") as out, err_path.open("wb") as err:
        try:
            child = subprocess.Popen(
                command,
                cwd=work,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        except OSError as error:
            raise SourceError(f"{what} cannot be started: {error}") from error
        try:
            stalled = _watch(child, work, log, what, stall_s)
        finally:
            _stop(child)
    if stalled:
        raise SourceError(f"{what}: nothing arrived for {stall_s:.0f} s")
    if child.returncode:
        raise SourceError(f"{what} failed: {_complaint(err_path, out_path)}")
    return out_path.read_text(errors="replace")


def _watch(child: subprocess.Popen, work: Path, log: Log, what: str, stall_s: float) -> bool:
    """Wait for ``child``; true if nothing grew under ``work`` for ``stall_s``."""
    before_all = size = folder_bytes(work)
    grown_at = time.monotonic()
    measured_at = logged_at = grown_at
    while child.poll() is None:
        time.sleep(POLL_S)
        now = time.monotonic()
        if now - measured_at < 1.0:
            continue
        measured_at, before, size = now, size, folder_bytes(work)
        if size != before:
            grown_at = now
        elif now - grown_at > stall_s:
            return True
        if now - logged_at > LOG_EVERY_S:
            logged_at = now
            log(f"{what}: {(size - before_all) / 1e6:.0f} MB written so far")
    return False


def _stop(child: subprocess.Popen) -> None:
    """End the child and what it started, whatever interrupted us."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _complaint(*paths: Path) -> str:
    """Why a child failed, in its own words; from the first of ``paths`` that is not empty.

    npm and pip mark their errors and say the reason first; a traceback says it last.
    """
    for path in paths:
        lines = [line.strip() for line in path.read_text(errors="replace").splitlines()]
        lines = [line for line in lines if line]
        marked = [line for line in lines if line.startswith(ERROR_MARKS)]
        if lines:
            last = [] if lines[-1] in marked else lines[-1:]
            return " | ".join([*marked[:4], *last])[:600]
    return "it gave no reason"
