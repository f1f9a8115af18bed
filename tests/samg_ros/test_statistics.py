"""The figures that masks are judged by."""

from __future__ import annotations

import math

import numpy as np
import pytest

from samg_ros.masking.scores import boundary_f, iou
from samg_ros.statistics import bootstrap_mean


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
