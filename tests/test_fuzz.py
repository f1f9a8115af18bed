"""``make fuzz`` in small: a moment at every boundary, and what it is there to tell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

for module in ("rosbags", "mcap", "sensor_msgs", "mujoco"):
    pytest.importorskip(module, reason="needs the extras [bag], [ros] and [sim]")

from samg_ros.errors import ConfigError
from tests.fuzz.__main__ import BAD, fuzz, mutated, outcome
from tests.fuzz.boundaries import BOUNDARIES, Boundary


@pytest.mark.parametrize("name", sorted(BOUNDARIES))
def test_nothing_foreign_wrong_or_too_large_in_a_moment(name: str, tmp_path: Path) -> None:
    told: list[str] = []
    counted = fuzz(name, 1, 0.3, tmp_path, tmp_path / "kept", told.append)
    assert not any(counted[bad] for bad in BAD), told
    assert counted["right"] and counted["error"]  # its seeds are read, its mutations are mutations


@pytest.mark.parametrize(
    ("error", "kind"),
    [(KeyError("x"), "foreign"), (MemoryError(), "memory"), (ConfigError("no"), "error")],
)
def test_an_exception_is_told_for_what_it_is(error: Exception, kind: str, tmp_path: Path) -> None:
    def read(data: bytes, folder: Path) -> str:
        raise error

    assert outcome(Boundary(lambda _: [b""], read), b"", tmp_path)[0] == kind


def test_a_wrong_reading_and_a_large_one(tmp_path: Path) -> None:
    wrong = Boundary(lambda _: [b""], lambda data, folder: "upside down")
    assert outcome(wrong, b"", tmp_path) == ("wrong", "upside down")

    def large(data: bytes, folder: Path) -> str:
        return "" if np.ones(3 * 2**30, np.uint8)[-1] else "never"

    assert outcome(Boundary(lambda _: [b""], large), b"", tmp_path)[0] == "memory"


def test_mutations_are_seeded() -> None:
    data = bytes(range(200))
    one, other = (
        [mutated(data, np.random.default_rng(seed)) for seed in range(30)] for _ in range(2)
    )
    assert one == other and len(set(one)) > 20
