"""Whether a realtime simulation keeps up, on a clock that the test turns."""

from __future__ import annotations

import pytest

from sim_bridge.bridge.pace import ENOUGH, WINDOW, Pace

DT_S = 0.02


def run(pace: Pace, steps: int, period_s: float, now_s: float, *, stepped: bool = True) -> float:
    """Tick so often. :return: the time then."""
    for _ in range(steps):
        now_s += period_s
        pace.tick(now_s, stepped=stepped)
    return now_s


def test_on_time_there_is_nothing_to_tell() -> None:
    pace = Pace(DT_S)
    pace.begin(100.0)
    run(pace, 200, DT_S, 100.0)
    assert pace.factor == pytest.approx(1) and pace.lag_s == pytest.approx(0, abs=1e-9)
    assert not pace.is_late and pace.warning() == ""


def test_what_comes_late_but_is_made_up_for_is_no_lag() -> None:
    pace = Pace(DT_S)
    pace.begin(0.0)
    now_s = 0.0
    for _ in range(20):
        now_s = run(pace, 1, 1.5 * DT_S, now_s)
        now_s = run(pace, 1, 0.5 * DT_S, now_s)
    assert pace.lag_s == pytest.approx(0, abs=1e-9) and not pace.is_late


def test_slow_steps_add_up_and_say_what_takes_the_time() -> None:
    pace = Pace(DT_S)
    pace.begin(5.0)
    pace.picture(0.03)
    pace.picture(0.05)
    run(pace, 30, 0.05, 5.0)
    assert pace.lag_s == pytest.approx(30 * 0.03)
    assert pace.factor == pytest.approx(0.4)
    assert "a control step of 20 ms takes 50 ms, 40 ms of it for the picture" in pace.warning()
    assert pace.facts() == {"realtime_factor": "0.40", "lag_s": "0.90", "picture_ms": "40.0"}


def test_it_is_told_once_an_episode_and_not_at_once() -> None:
    pace = Pace(DT_S)
    for _ in range(2):
        pace.begin(0.0)
        told = [pace.tick(0.1 * (i + 1), stepped=True) for i in range(ENOUGH + 5)]
        assert told == [False] * (ENOUGH - 1) + [True] + [False] * 5
    pace.begin(0.0)
    assert pace.lag_s == 0 and pace.factor == 1 and not pace.is_late


def test_a_pause_is_no_lag() -> None:
    pace = Pace(DT_S)
    pace.begin(0.0)
    now_s = run(pace, 20, DT_S, 0.0)
    now_s = run(pace, 500, DT_S, now_s, stepped=False)
    run(pace, 20, DT_S, now_s)
    assert pace.lag_s == pytest.approx(0, abs=1e-9) and pace.factor == pytest.approx(1)


def test_a_simulation_that_recovers_is_not_late_but_still_behind() -> None:
    pace = Pace(DT_S)
    pace.begin(0.0)
    now_s = run(pace, 20, 0.1, 0.0)
    assert pace.is_late
    run(pace, WINDOW, DT_S, now_s)
    assert not pace.is_late and pace.lag_s == pytest.approx(20 * 0.08)
