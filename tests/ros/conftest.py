"""Fixtures of the tests over DDS; without ROS they are skipped, and say so."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from harness import Stage

NEEDED = ("rclpy", "rosbags", "mcap", "mujoco", "gymnasium_robotics")
MISSING = [name for name in NEEDED if find_spec(name) is None]


class SkippedModule(pytest.Module):
    """A test module that is not imported, because it could not be."""

    def collect(self) -> list:
        reason = f"{', '.join(MISSING)} not installed: needs the extras [ros], [bag] and [sim]"
        raise pytest.skip.Exception(reason, allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector):
    if MISSING and module_path.parent == Path(__file__).parent:
        return SkippedModule.from_parent(parent, path=module_path)
    return None


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A stage for one test alone; a file whose tests share processes makes its own."""
    from harness import open_stage

    with open_stage(tmp_path) as opened:
        yield opened
