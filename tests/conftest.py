"""Fixtures that every kind of test shares; what needs ROS is skipped without it, and says so."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from samg_ros.machine import single_thread

if TYPE_CHECKING:
    from harness import Stage

NEEDED = ("rclpy", "rosbags", "mcap", "mujoco", "gymnasium_robotics")
MISSING = [name for name in NEEDED if find_spec(name) is None]
# By one of these a test module shows that it talks over DDS.
OVER_DDS = ("from harness import", "from probe import", "_probe import", "rclpy")


class SkippedModule(pytest.Module):
    """A test module that is not imported, because it could not be."""

    def collect(self) -> list:
        reason = f"{', '.join(MISSING)} not installed: needs the extras [ros], [bag] and [sim]"
        raise pytest.skip.Exception(reason, allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector):
    if MISSING and any(sign in module_path.read_text() for sign in OVER_DDS):
        return SkippedModule.from_parent(parent, path=module_path)
    return None


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A stage for one test alone; a file whose tests share processes makes its own."""
    from harness import open_stage

    with open_stage(tmp_path) as opened:
        yield opened


@pytest.fixture
def fresh_stage(tmp_path: Path) -> Iterator[Stage]:
    """A stage whose nodes are interpreters of their own, as users start them."""
    from harness import open_stage

    with open_stage(tmp_path, fresh=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """A module's small models on one thread: more wait for each other."""
    with single_thread():
        yield
