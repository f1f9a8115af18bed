"""What ``samg eval`` makes of its episodes: intervals, rows, tables, the page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from eval_fixtures import open_folder, return_records, success_records
from scipy.stats import trim_mean

from policies.eval_config import EvalConfig
from policies.eval_page import write_page
from policies.eval_records import Cell
from policies.eval_statistics import estimate, ratio
from policies.eval_summary import overall, rows_of
from policies.eval_table import interval, results_table
from samg_ros.bench.summary import Interval
from samg_ros.cli import main
from samg_ros.errors import ConfigError

DOOR = Cell("adroit_door", "student", "oracle", "none")
WALK = Cell("walker_walk", "student", "oracle", "none")


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
    assert found.mean == Interval(50.5, 50.5, 50.5)


def test_the_same_episodes_give_the_same_intervals_and_leave_no_trace() -> None:
    scores = np.random.default_rng(0).random((10, 2))
    np.random.seed(3)
    first = estimate(scores)
    after = np.random.random()
    np.random.seed(4)
    assert estimate(scores) == first
    np.random.seed(3)
    assert np.random.random() == after


def test_ratios_need_a_base_above_zero() -> None:
    found = ratio(np.full(10, 0.6), np.full(10, 1.2))
    assert found == Interval(0.5, 0.5, 0.5)
    assert ratio(np.ones(5), np.zeros(5)) is None
    assert ratio(np.ones(5), -np.ones(5)) is None


def test_rows_compare_with_the_clean_oracle() -> None:
    samg = replace(DOOR, mask="samg", perturb="photos")
    raw = replace(DOOR, policy="raw_student", mask="none")
    records = [
        *success_records(DOOR, [1, 1, 1, 1]),
        *success_records(samg, [1, 0, 1, 0], mean_iou=0.9, min_iou=0.7, found=0.5),
        *success_records(raw, [1, 1, 0, 0]),
        *success_records(replace(raw, perturb="photos"), [1, 0, 0, 0]),
    ]
    rows = {row.cell: row for row in rows_of(records)}
    assert list(rows) == [DOOR, samg, raw, replace(raw, perturb="photos")]
    assert rows[DOOR].score_ratio is None, "it is what others are compared with"
    assert rows[samg].score_ratio is not None and rows[samg].score_ratio.mean == 0.5
    assert rows[samg].failed == (1, 3) and rows[samg].episodes == 4
    assert (rows[samg].mean_iou, rows[samg].min_iou, rows[samg].found) == (0.9, 0.7, 0.5)
    twin = rows[replace(raw, perturb="photos")].score_ratio
    assert rows[raw].score_ratio is None and (twin is None or twin.mean == 0.5)
    line = next(line for line in results_table([rows[samg]]).splitlines() if "samg" in line)
    assert "| 2 of 4 | 0.50 [" in line and "| 0.900 (0.700) | 0.50 |" in line


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
    unequal = overall(records[:-1])
    assert [row.cell.mask for row in unequal] == ["oracle"], "a task lacks a seed"


def test_returns_are_rows_without_success() -> None:
    (row,) = rows_of(return_records(WALK, [800.0, 900.0]))
    assert row.success is None and row.failed == ()
    assert "| of 2 | - | - | 850.0 [800.0, 900.0] | - | - | - |" in results_table([row])


def test_intervals_have_digits_enough() -> None:
    assert interval(Interval(0.5, 0.25, 0.75)) == "0.50 [0.25, 0.75]"
    assert interval(Interval(812.34, 800.0, 830.0)) == "812.3 [800.0, 830.0]"
    assert interval(None) == "-"


@pytest.fixture
def door_run(tmp_path: Path) -> Path:
    """A folder of an evaluation: samg fails where the oracle does, and once by itself."""
    video = replace(DOOR, perturb="video_hard=DIR/clips")
    samg, black = replace(video, mask="samg"), replace(video, mask="black")
    config = EvalConfig(
        masks=("oracle", "samg", "black"),
        perturb=("none", f"video_hard={tmp_path}/clips"),
        episodes=4,
    )
    with open_folder(tmp_path / "door", config, [DOOR, video, samg, black]) as folder:
        records = [
            *success_records(DOOR, [1, 1, 1, 1]),
            *success_records(video, [1, 1, 1, 0]),
            *success_records(samg, [1, 1, 0, 0], mean_iou=0.5, min_iou=0.2, found=1.0),
            *success_records(black, [0, 0]),
        ]
        for record in records:
            folder.append(record)
    return tmp_path / "door"


def test_page_tells_every_number_with_its_command(door_run: Path, tmp_path: Path) -> None:
    page = tmp_path / "docs" / "results.md"
    page.parent.mkdir()
    assert main(["eval", "report", str(door_run), "--page", str(page)]) == 0
    text = page.read_text()
    assert "## door\n" in text and str(tmp_path) not in text
    assert "samg eval --tasks adroit_door --policies student --masks oracle samg black " in text
    assert "--perturb none video_hard=DIR/clips --episodes 4 --seed 0" in text
    assert "student of door c0ffee" in text
    assert "4 episodes of each combination, seeds 0 to 3" in text and "cores of" in text
    assert "Unfinished: adroit_door, student, masks black, video_hard=DIR/clips (2 ep" in text
    fail = "masks samg, video_hard=DIR/clips: 2 of 4 (no success): seeds "
    assert f"{fail}2 (mask IoU 0.50), 3 (mask IoU 0.50; oracle fails too)" in text
    assert "masks oracle, video_hard=DIR/clips: 1 of 4 (no success): seeds 3" in text
    assert "![door](results/door.png)" in text
    plot = cv2.imread(str(page.parent / "results" / "door.png"))
    assert plot is not None and plot.std() > 5


def test_page_lists_poor_returns_where_there_is_no_success(tmp_path: Path) -> None:
    photos = replace(WALK, mask="samg", perturb="photos")
    with open_folder(tmp_path / "walk", EvalConfig(episodes=2), [WALK, photos]) as folder:
        for record in (*return_records(WALK, [900, 900]), *return_records(photos, [890, 300])):
            folder.append(record)
    write_page([tmp_path / "walk"], tmp_path / "page.md")
    assert (
        "masks samg, photos: 1 of 2 (return below 0.75 of clean): seeds 1"
        in (tmp_path / "page.md").read_text()
    )


def test_bad_folders_leave_the_page_as_it_is(door_run: Path, tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    page.write_text("as it was")
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "door").symlink_to(door_run)
    (tmp_path / "empty").mkdir()
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "config.json").write_text("{}")
    with open_folder(tmp_path / "new", EvalConfig()):
        pass
    for folders, reason in (
        ([door_run, door_run], "two folders are called door"),
        ([door_run, tmp_path / "empty"], "not the folder of an evaluation"),
        ([door_run, tmp_path / "none"], "not the settings of an evaluation"),
        ([door_run, tmp_path / "new"], "no episode has ended yet"),
    ):
        with pytest.raises(ConfigError, match=reason):
            write_page(folders, page)
    assert page.read_text() == "as it was"
