"""What ``samg eval`` makes of its episodes: intervals, ratios, rows and tables."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eval_fixtures import (  # noqa: F401 - few_draws is a fixture
    few_draws,
    open_folder,
    return_records,
    success_records,
)
from scipy.stats import trim_mean

from policies.episode import Cell
from policies.eval.report.tables import interval, lines_of, results_table
from policies.eval.summary import overall, rows_of, score_ratio
from samg_ros.statistics import Interval

DOOR = Cell("adroit_door", "student", "oracle", "none")
WALK = Cell("walker_walk", "student", "oracle", "none")


def test_rows_compare_with_the_clean_oracle() -> None:
    samg = replace(DOOR, mask="samg", perturb="photos")
    raw = replace(DOOR, policy="raw_student", mask="none")
    records = [
        *success_records(DOOR, [1, 1, 1, 1]),
        *success_records(samg, [1, 0, 1, 0], mean_iou=0.9, min_iou=0.7, found=0.5),
        *success_records(raw, [1, 1, 0, 0], learned_from="none"),
        *success_records(replace(raw, perturb="photos"), [1, 0, 0, 0], learned_from="none"),
    ]
    rows = {row.cell: row for row in rows_of(records)}
    # Perturbation by perturbation, what is to be compared beside each other.
    assert list(rows) == [DOOR, raw, samg, replace(raw, perturb="photos")]
    assert rows[DOOR].score_ratio is None, "it is what others are compared with"
    assert rows[samg].score_ratio is not None and rows[samg].score_ratio.mean == 0.5
    assert rows[samg].failed == (1, 3) and rows[samg].episodes == 4
    assert (rows[samg].mean_iou, rows[samg].min_iou, rows[samg].found) == (0.9, 0.7, 0.5)
    twin = rows[replace(raw, perturb="photos")].score_ratio
    assert rows[raw].score_ratio is None and twin is not None and twin.mean == 0.5
    line = next(line for line in results_table([rows[samg]]).splitlines() if "samg" in line)
    assert "| 2 of 4 | 0.50 [" in line and "| 0.900 (0.700) | 0.50 |" in line


def test_only_what_learned_from_raw_pictures_is_a_twin() -> None:
    raw = replace(DOOR, mask="none")
    records = [*success_records(raw, [1, 0]), *success_records(replace(DOOR, mask="samg"), [1, 1])]
    rows = rows_of(records)
    assert all(row.score_ratio is None for row in rows), "nothing clean with perfect masks"
    (line,) = lines_of(records, rows)
    assert line.twins == () and set(line.by_mask) == {"none", "samg"}


@pytest.mark.usefixtures("few_draws")
def test_tasks_are_put_together_by_their_shares_of_clean() -> None:
    photos = {"mask": "samg", "perturb": "photos"}
    records = [
        *success_records(DOOR, [1, 1, 1, 1]),
        *return_records(WALK, [800.0, 1000.0, 900.0, 900.0]),
        *success_records(replace(DOOR, **photos), [1, 1, 1, 0]),
        *return_records(replace(WALK, **photos), [450.0] * 4),
    ]
    rows = {(row.cell.mask, row.cell.perturb): row for row in overall(records)}
    assert rows["samg", "photos"].score.mean.mean == pytest.approx((0.75 + 0.5) / 2)
    assert rows["samg", "photos"].tasks == 2 and rows["samg", "photos"].episodes == 8
    shares = [1, 1, 1, 0, *[0.5] * 4]
    assert rows["samg", "photos"].score.iqm.mean == pytest.approx(trim_mean(shares, 0.25))
    assert overall(records[:4]) == [], "a single task"
    assert overall(records[4:]) == [], "no base of the door"
    unequal = {row.cell.mask: row for row in overall(records[:-1])}
    assert unequal["oracle"].episodes == 8
    assert unequal["samg"].episodes == 6, "of the seeds that both tasks have"
    assert unequal["samg"].score.mean.mean == pytest.approx((1 + 0.5) / 2)


def test_ratios_are_over_the_seeds_that_both_have() -> None:
    photos = replace(WALK, mask="samg", perturb="photos")
    records = [*return_records(WALK, [100.0, 100.0, 900.0]), *return_records(photos, [90.0, 90.0])]
    row = next(row for row in rows_of(records) if row.cell == photos)
    assert row.score_ratio == Interval(0.9, 0.9, 0.9) and row.episodes == 2
    assert score_ratio(records[:1], records[4:]) is None, "no seed in common"
    assert score_ratio(records[3:], return_records(WALK, [-1.0, 0.0])) is None


@pytest.mark.usefixtures("few_draws")
def test_order_does_not_depend_on_which_ended_first() -> None:
    records = [
        *success_records(replace(DOOR, mask="none"), [1]),
        *success_records(replace(DOOR, mask="none", policy="raw_student"), [0]),
        *success_records(DOOR, [1]),
        *success_records(replace(DOOR, mask="samg"), [1]),
    ]
    shown = [row.cell for row in rows_of(records)]
    assert shown == [row.cell for row in rows_of(records[::-1])]
    assert [cell.mask for cell in shown] == ["samg", "oracle", "none", "none"]


def test_returns_are_rows_without_success() -> None:
    (row,) = rows_of(return_records(WALK, [800.0, 900.0]))
    assert row.success is None and row.failed == ()
    both = "850.0 [800.0, 900.0] | 850.0 [800.0, 900.0]"
    assert f"| - of 2 | - | - | {both} | - | - | - |" in results_table([row])


def test_intervals_have_digits_enough() -> None:
    assert interval(Interval(0.5, 0.25, 0.75)) == "0.50 [0.25, 0.75]"
    assert interval(Interval(812.34, 800.0, 830.0)) == "812.3 [800.0, 830.0]"
    assert interval(None) == "-"
