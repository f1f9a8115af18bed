"""Environment variables that DDS needs before a node starts: its profile, and a domain apart.

Without rclpy: launch files and the command line set these for the processes that they start.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path

from samg_ros.errors import ConfigError

PROFILE = "fastdds_profile.xml"
LOCAL_PROFILE = "fastdds_local_profile.xml"
"""Of processes that are to be reached from this machine alone."""
# Fast DDS renamed its variable in Kilted, which reads the old name too but warns; these do not
# know the new one.
OLD_NAME_DISTROS = ("humble", "iron", "jazzy")
OLD_NAME, NEW_NAME = "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"

# Ports of a domain as RTPS lays them out. Above 101 they reach the system's ephemeral ports.
DOMAIN_IDS = range(1, 102)
FIRST_PORT, PORTS_PER_DOMAIN, UNICAST_OFFSET = 7400, 250, 10
# Participants whose port is looked at: the first of a domain may have gone before the others.
PROBED_PARTICIPANTS = 10
YOUNG_S = 60.0  # of a shared-memory segment
END_WITH = "SAMG_END_WITH"
"""Environment: the process without which a node ends, as our launch files set it. A killed
``ros2 launch`` takes none of its nodes along."""


def dds_environment(
    environ: Mapping[str, str] = os.environ, *, local: bool = False
) -> dict[str, str]:
    """What a node's process needs besides ``environ`` so that large images arrive.

    :param local: listen on the loopback address alone.
    :return: the Fast DDS profile's variable; empty where ``environ`` already names a profile.
    :raises ConfigError: the profile is not installed.
    """
    is_old = environ.get("ROS_DISTRO", "") in OLD_NAME_DISTROS
    read = (OLD_NAME,) if is_old else (NEW_NAME, OLD_NAME)
    if any(environ.get(name) for name in read):
        return {}
    return {read[0]: str(fastdds_profile(LOCAL_PROFILE if local else PROFILE))}


def isolated_environment(
    domain_id: int, environ: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """What keeps processes among themselves: a domain, and no discovery beyond this machine."""
    # Humble knows only the older variable; later ones warn about it.
    if environ.get("ROS_DISTRO") == "humble":
        local = {"ROS_LOCALHOST_ONLY": "1"}
    else:
        local = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    return {"ROS_DOMAIN_ID": str(domain_id), **local}


def fastdds_profile(name: str = PROFILE) -> Path:
    """The profile that belongs to this very copy of the package, installed or a source tree.

    :raises ConfigError: there is none, as after ``pip install --target``.
    """
    for folder in Path(__file__).resolve().parents:
        for config in (folder / "share" / "samg_ros" / "config", folder / "config"):
            if (config / name).is_file():
                return config / name
    raise ConfigError(
        f"{name} is not installed beside {Path(__file__).parent}; install the whole package "
        f"with pip or colcon, or set {NEW_NAME} to a profile of your own"
    )


def free_domain_id() -> int:
    """A domain that no process of this machine takes part in, and likely none is about to.

    :raises ConfigError: every domain is in use.
    """
    # Two that ask at the same moment begin far apart, however near their numbers are.
    start = os.getpid() * 47 % len(DOMAIN_IDS)
    for domain_id in (*DOMAIN_IDS[start:], *DOMAIN_IDS[:start]):
        if not _in_use(domain_id):
            return domain_id
    raise ConfigError("every ROS domain from 1 to 101 is in use on this machine")


def _in_use(domain_id: int) -> bool:
    """Whether a participant holds one of the domain's discovery ports."""
    first = FIRST_PORT + PORTS_PER_DOMAIN * domain_id + UNICAST_OFFSET
    return not all(_can_bind(first + 2 * number) for number in range(PROBED_PARTICIPANTS))


def _can_bind(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def clear_shared_memory(folder: Path = Path("/dev/shm"), now_s: float | None = None) -> int:
    """Remove the segments of Fast DDS participants that were killed: 34 MB each, for ever.

    A living participant holds a lock on its segment's ``_el`` file; a young file is left alone,
    since its maker may be about to lock it. Files of other users are left, too.

    :return: how many were removed.
    """
    now_s, removed = time.time() if now_s is None else now_s, 0
    for lock in folder.glob("fastdds_" + "[0-9a-f]" * 16 + "_el"):
        with contextlib.suppress(OSError), lock.open("rb+") as file:
            if now_s - os.fstat(file.fileno()).st_mtime < YOUNG_S:
                continue
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lock.with_name(lock.name.removesuffix("_el")).unlink(missing_ok=True)
            lock.unlink(missing_ok=True)
            removed += 1
    return removed
