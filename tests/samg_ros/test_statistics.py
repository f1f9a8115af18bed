"""The figures that masks and policies are judged by."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from scipy.stats import trim_mean

from samg_ros.masking.scores import boundary_f, iou
from samg_ros.statistics import Interval, bootstrap_mean, estimate, ratio


def square(top: int, left: int, side: int = 20) -> np.ndarray:
    mask = np.zeros((100, 120), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_a_mask_that_is_the_truth_scores_one():
    assert iou(square(10, 10), square(10, 10)) == 1.0
    assert boundary_f(square(10, 10), square(10, 10)) == 1.0


def test_masks_that_do_not_meet_score_zero():
    assert iou(square(10, 10), square(60, 60)) == 0.0
    assert boundary_f(square(10, 10), square(60, 60)) == 0.0


def test_iou_of_a_half_overlap():
    assert iou(square(10, 10), square(20, 10)) == pytest.approx(1 / 3)


def test_nothing_found_where_nothing_is_counts_as_right():
    empty = np.zeros((10, 10), bool)
    assert iou(empty, empty) == 1.0
    assert boundary_f(empty, empty) == 1.0


def test_an_outline_one_pixel_off_counts_as_found():
    assert boundary_f(square(10, 10), square(11, 10)) == pytest.approx(1.0)
    assert iou(square(10, 10), square(11, 10)) < 0.91


def test_a_bootstrap_interval_holds_the_mean_and_grows_with_the_spread():
    rng = np.random.default_rng(0)
    groups = [i // 4 for i in range(40)]
    narrow = bootstrap_mean(list(rng.normal(0.9, 0.01, 40)), groups)
    wide = bootstrap_mean(list(rng.normal(0.9, 0.1, 40)), groups)
    assert narrow.low <= narrow.mean <= narrow.high
    assert wide.high - wide.low > narrow.high - narrow.low


def test_one_episode_gives_no_interval():
    interval = bootstrap_mean([0.5, 0.7], [3, 3])
    assert math.isclose(interval.low, interval.high)


def test_estimates_are_means_with_intervals_around_them() -> None:
    scores = np.random.default_rng(0).normal(5, 1, (20, 1))
    found = estimate(scores)
    assert found.mean.mean == pytest.approx(scores.mean())
    assert found.iqm.mean == pytest.approx(trim_mean(scores[:, 0], 0.25))
    for one in (found.mean, found.iqm):
        assert one.low < one.mean < one.high
    # Of 20 draws with a deviation of 1 the mean's interval is about 4 / sqrt(20) wide.
    assert 0.5 < found.mean.high - found.mean.low < 1.4


def test_episodes_are_drawn_within_their_task() -> None:
    """Tasks of quite different levels, each without any spread, leave nothing uncertain."""
    found = estimate(np.repeat([[1.0, 100.0]], 10, axis=0))
    assert found.mean == Interval(50.5, 50.5, 50.5) and found.iqm.low == found.iqm.high


def test_a_single_episode_has_no_spread() -> None:
    found = estimate(np.array([[0.7]]))
    assert found.mean == found.iqm == Interval(0.7, 0.7, 0.7)


def test_the_same_episodes_give_the_same_intervals_and_leave_no_trace() -> None:
    scores = np.random.default_rng(0).random((10, 2))
    np.random.seed(3)
    first = estimate(scores)
    after = np.random.random()
    np.random.seed(4)
    assert estimate(scores) == first
    np.random.seed(3)
    assert np.random.random() == after


def test_ratios_draw_the_same_seeds_for_both() -> None:
    """Episodes of unlike difficulty, of which both reach the same share, leave nothing open."""
    base = np.random.default_rng(0).uniform(100, 1000, 12)
    found = ratio(0.8 * base, base)
    assert found is not None
    assert (found.mean, found.low, found.high) == pytest.approx((0.8, 0.8, 0.8))


def test_a_base_that_rarely_succeeds_has_a_ratio_all_the_same() -> None:
    """Draws in which it never succeeds do not count, and nothing is said about them."""
    rare = np.array([1.0, *np.zeros(9)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ratio(rare, rare) == Interval(1.0, 1.0, 1.0)


def test_ratios_need_a_base_above_zero() -> None:
    found = ratio(np.full(10, 0.6), np.full(10, 1.2))
    assert found == Interval(0.5, 0.5, 0.5)
    assert ratio(np.ones(5), np.zeros(5)) is None
    assert ratio(np.ones(5), -np.ones(5)) is None
