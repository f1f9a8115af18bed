"""Joint states by stamp: which goes with a frame, which are forgotten."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy, of ROS 2 or of the [ros] extra")

from samg_ros.ros.joints import JointHistory

MS = 1_000_000


def history(*stamps_ms: int, span_s: float = 0.6, tolerance_s: float = 0.1) -> JointHistory:
    """One whose positions tell their stamp in ms."""
    kept = JointHistory(span_s, tolerance_s)
    for stamp in stamps_ms:
        kept.add(stamp * MS, np.array([float(stamp)]))
    return kept


@pytest.mark.parametrize(
    ("asked", "found"), [(50, 50), (70, 50), (80, 100), (0, 50), (200, 100), (201, None)]
)
def test_the_nearest_state_within_the_tolerance(asked: int, found: int | None) -> None:
    positions = history(50, 100).at(asked * MS)
    assert (positions is None) if found is None else (positions == [found])


def test_nothing_is_found_where_nothing_was_measured() -> None:
    assert history().at(0) is None


@pytest.mark.parametrize("rate_hz", [50, 1000])
def test_states_are_kept_for_a_time_whatever_their_rate(rate_hz: int) -> None:
    step = 1000 // rate_hz
    kept = history(*range(0, 3000, step))
    newest = 3000 - step
    assert kept.at((newest - 600) * MS) == [newest - 600]
    assert kept.at((newest - 720) * MS) is None


def test_a_clock_that_was_set_back_forgets_what_came_before() -> None:
    kept = history(1000, 1100, 1200, 100)
    assert kept.at(1100 * MS) is None
    assert kept.at(100 * MS) == [100]
    kept.add(200 * MS, np.array([200.0]))
    assert kept.at(110 * MS) == [100]


def test_states_that_arrive_in_another_order_are_kept() -> None:
    kept = history(1000, 1100, 1050)
    assert [kept.at(s * MS)[0] for s in (1000, 1050, 1100)] == [1000, 1050, 1100]
