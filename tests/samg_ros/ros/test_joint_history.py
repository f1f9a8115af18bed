"""Joint states by stamp: which goes with a frame, which are forgotten."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy", reason="needs rclpy, of ROS 2 or of the [ros] extra")

from sensor_msgs.msg import JointState

from samg_ros.errors import ConfigError
from samg_ros.ros.joints import MOST_JOINTS, MOST_PUBLISHERS, JointHistory

MS = 1_000_000


def state(**positions: float) -> JointState:
    return JointState(name=list(positions), position=[float(p) for p in positions.values()])


def history(*stamps_ms: int, span_s: float = 0.6, tolerance_s: float = 0.1) -> JointHistory:
    """One whose positions tell their stamp in ms."""
    kept = JointHistory(["a"], span_s, tolerance_s)
    for stamp in stamps_ms:
        assert kept.add(stamp * MS, state(a=stamp))
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
    kept.add(200 * MS, state(a=200))
    assert kept.at(110 * MS) == [100]


def test_states_that_arrive_in_another_order_are_kept() -> None:
    kept = history(1000, 1100, 1050)
    assert [kept.at(s * MS)[0] for s in (1000, 1050, 1100)] == [1000, 1050, 1100]


class TestParts:
    """An arm and a hand that publish apart."""

    def kept(self) -> JointHistory:
        kept = JointHistory(["wrist", "finger", "elbow"], 0.6, 0.1)
        kept.add(1000 * MS, state(elbow=1, base=9, wrist=2))
        kept.add(1040 * MS, state(finger=3))
        return kept

    def test_are_put_together_in_the_order_that_is_asked_for(self) -> None:
        assert self.kept().at(1010 * MS).tolist() == [2, 3, 1]  # type: ignore[union-attr]

    def test_have_an_age_of_their_own(self) -> None:
        kept = self.kept()
        assert kept.at(1120 * MS) is None
        assert kept.missing(1120 * MS) == ["wrist", "elbow"]
        kept.add(1110 * MS, state(elbow=4, base=9, wrist=5))
        assert kept.at(1120 * MS).tolist() == [5, 3, 4]  # type: ignore[union-attr]

    def test_of_a_slow_publisher_are_no_clock_set_back(self) -> None:
        kept = self.kept()
        kept.add(1500 * MS, state(elbow=4, base=9, wrist=5))
        kept.add(1300 * MS, state(finger=6))
        assert kept.missing(1500 * MS) == ["finger"]

    def test_of_a_clock_set_back_forget_the_others_too(self) -> None:
        kept = self.kept()
        kept.add(100 * MS, state(finger=6))
        assert kept.missing(100 * MS) == ["wrist", "elbow"]
        assert kept.missing(1000 * MS) == ["wrist", "finger", "elbow"]

    def test_the_nearer_of_two_that_tell_of_one_joint_counts(self) -> None:
        kept = self.kept()
        kept.add(1010 * MS, state(wrist=7))
        assert kept.at(1010 * MS).tolist() == [7, 3, 1]  # type: ignore[union-attr]
        assert kept.newest() == {"wrist": 7, "finger": 3, "elbow": 1}

    def test_of_others_are_left_aside(self) -> None:
        assert not self.kept().add(1050 * MS, state(tail=1))


@pytest.mark.parametrize(
    ("msg", "reason"),
    [
        (JointState(name=["a", "a"], position=[1.0, 2.0]), "name a joint twice"),
        (JointState(name=["b", "a"], position=[1.0]), "lacks the position of 'a'"),
        (JointState(name=["a"], velocity=[1.0]), "lacks the position of 'a'"),
        (JointState(name=["a"], position=[float("nan")]), "no finite position of a"),
        (JointState(name=["a"], position=[1e39]), "no finite position of a"),  # as float32
        (JointState(name=["a"] * (MOST_JOINTS + 1)), "names 1025 joints"),
    ],
)
def test_what_is_no_state_is_refused(msg: JointState, reason: str) -> None:
    kept = history(1000)
    with pytest.raises(ConfigError, match=reason):
        kept.add(1010 * MS, msg)
    assert kept.at(1000 * MS) == [1000]


def test_messages_that_name_ever_other_joints_do_not_fill_the_memory() -> None:
    kept = history(1000)
    with pytest.raises(ConfigError, match="other joints in nearly every message"):
        for number in range(MOST_PUBLISHERS + 1):
            kept.add(1000 * MS, state(**{f"joint_{number}": 0}))
    assert kept.at(1000 * MS) == [1000]
