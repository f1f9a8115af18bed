"""The environment that DDS gets, and domains that do not clash."""

import fcntl
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from samg_ros.ros import environment
from samg_ros.ros.environment import (
    NEW_NAME,
    OLD_NAME,
    YOUNG_S,
    clear_shared_memory,
    dds_environment,
    fastdds_profile,
    free_domain_id,
    isolated_environment,
)


def test_the_profile_has_shared_memory_for_large_images_and_udp():
    root = ElementTree.parse(fastdds_profile()).getroot()
    kinds = [element.text for element in root.iterfind(".//{*}type")]
    assert kinds == ["SHM", "UDPv4"]
    assert int(root.findtext(".//{*}segment_size")) == 32 * 2**20


@pytest.mark.parametrize(
    ("distro", "name"),
    [("", NEW_NAME), ("kilted", NEW_NAME), ("jazzy", OLD_NAME), ("humble", OLD_NAME)],
)
def test_each_distribution_gets_the_one_variable_that_it_reads(distro, name):
    assert dds_environment({"ROS_DISTRO": distro}) == {name: str(fastdds_profile())}


@pytest.mark.parametrize(
    ("distro", "name"), [("", NEW_NAME), ("kilted", OLD_NAME), ("jazzy", OLD_NAME)]
)
def test_a_profile_of_the_user_stays(distro, name):
    assert dds_environment({"ROS_DISTRO": distro, name: "/mine.xml"}) == {}


def test_isolation_uses_what_the_distribution_knows():
    assert isolated_environment(7, {}) == {
        "ROS_DOMAIN_ID": "7",
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    }
    assert isolated_environment(7, {"ROS_DISTRO": "humble"}) == {
        "ROS_DOMAIN_ID": "7",
        "ROS_LOCALHOST_ONLY": "1",
    }


def test_a_domain_in_use_is_not_free():
    chosen = free_domain_id()
    # The fourth participant's port: the three before it have gone.
    port = 7400 + 250 * chosen + 10 + 2 * 3
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as participant:
        participant.bind(("127.0.0.1", port))
        assert free_domain_id() != chosen
    assert free_domain_id() == chosen


def test_processes_that_ask_at_once_get_different_domains(monkeypatch):
    chosen = set()
    for pid in range(1000, 1010):
        monkeypatch.setattr(os, "getpid", lambda pid=pid: pid)
        chosen.add(free_domain_id())
    assert len(chosen) == 10
    assert chosen <= set(environment.DOMAIN_IDS)


def test_it_needs_no_ros():
    code = "import sys, samg_ros.ros.environment; sys.exit('rclpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_processes_among_themselves_listen_on_the_loopback_address() -> None:
    (profile,) = dds_environment({}, local=True).values()
    assert "<address>127.0.0.1</address>" in Path(profile).read_text()


def test_segments_of_the_dead_are_removed_and_no_others(tmp_path: Path) -> None:
    names = {
        kind: f"fastdds_{number:016x}" for number, kind in enumerate(("dead", "alive", "new"))
    }
    for name in names.values():
        (tmp_path / name).write_bytes(b"segment")
        (tmp_path / f"{name}_el").touch()
    (tmp_path / "fastdds_port7412_el").touch()
    later = time.time() + 2 * YOUNG_S
    os.utime(tmp_path / f"{names['new']}_el", (later, later))
    with (tmp_path / f"{names['alive']}_el").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert clear_shared_memory(tmp_path, now_s=later) == 1
    left = {path.name for path in tmp_path.iterdir()}
    kept = {n for kind in ("alive", "new") for n in (names[kind], f"{names[kind]}_el")}
    assert left == kept | {"fastdds_port7412_el"}
    assert clear_shared_memory(tmp_path / "nowhere") == 0
