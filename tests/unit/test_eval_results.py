"""What ``samg eval`` makes of its episodes: intervals, rows, tables, the page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from eval_fixtures import open_folder, return_records, success_records
from scipy.stats import trim_mean

from policies import eval_statistics
from policies.eval_config import EvalConfig
from policies.eval_glance import lines_of
from policies.eval_page import write_page
from policies.eval_records import Cell
from policies.eval_statistics import estimate, ratio
from policies.eval_summary import overall, rows_of, score_ratio
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


def test_ratios_draw_the_same_seeds_for_both() -> None:
    """Episodes of unlike difficulty, of which both reach the same share, leave nothing open."""
    base = np.random.default_rng(0).uniform(100, 1000, 12)
    found = ratio(0.8 * base, base)
    assert found is not None
    assert (found.mean, found.low, found.high) == pytest.approx((0.8, 0.8, 0.8))


def test_a_base_that_rarely_succeeds_has_a_ratio_all_the_same() -> None:
    rare = np.array([1.0, *np.zeros(9)])
    found = ratio(rare, rare)
    assert found == Interval(1.0, 1.0, 1.0)


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
        *success_records(raw, [1, 1, 0, 0], learned_from="none"),
        *success_records(replace(raw, perturb="photos"), [1, 0, 0, 0], learned_from="none"),
    ]
    rows = {row.cell: row for row in rows_of(records)}
    # Look by look, what is to be compared beside each other.
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
    assert f"| of 2 | - | - | {both} | - | - | - |" in results_table([row])


def test_intervals_have_digits_enough() -> None:
    assert interval(Interval(0.5, 0.25, 0.75)) == "0.50 [0.25, 0.75]"
    assert interval(Interval(812.34, 800.0, 830.0)) == "812.3 [800.0, 830.0]"
    assert interval(None) == "-"


@pytest.fixture
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no interval is looked at closely, a page need not take its time."""
    monkeypatch.setattr(eval_statistics, "RESAMPLES", 20)


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


@pytest.mark.usefixtures("few_draws")
def test_page_tells_every_number_with_its_command(door_run: Path, tmp_path: Path) -> None:
    page = tmp_path / "docs" / "results.md"
    page.parent.mkdir()
    assert main(["eval", "report", str(door_run), "--page", str(page)]) == 0
    text = page.read_text()
    assert "### 1. door\n" in text and str(tmp_path) not in text
    assert "samg eval --tasks adroit_door --policies student --masks oracle samg black " in text
    assert "--perturb none video_hard=DIR/clips --episodes 4 --seed 0" in text
    assert "student of door c0ffee" in text
    assert "4 episodes of each combination, seeds 0 to 3" in text and "cores of" in text
    assert "Unfinished: adroit_door, student, masks black, video_hard=DIR/clips (2 ep" in text
    fail = "masks samg, video_hard=DIR/clips: 2 of 4 (no success): seeds "
    assert f"{fail}2 (mask IoU 0.50), 3 (mask IoU 0.50; oracle fails too)" in text
    assert "masks oracle, video_hard=DIR/clips: 1 of 4 (no success): seeds 3" in text
    assert "masks black, video_hard=DIR/clips: 2 of 2 (no success): seeds 0, 1" in text
    row = next(k for k in text.splitlines() if k.startswith("| adroit_door | student | samg | v"))
    assert row.endswith("| 0.500 (0.200) | 1.00 | 1 |"), "the last column is the run"
    plot = cv2.imread(str(page.parent / "results" / "overview.png"))
    assert "![all tasks](results/overview.png)" in text
    assert plot is not None and plot.std() > 5


def several_runs(folder: Path) -> list[Path]:
    """The door with a raw twin; and the walker by two runs, of which one has fewer episodes."""
    hard = "video_hard=DIR/clips"
    raw = Cell("adroit_door", "raw_student", "none", "none")
    episodes = {
        "door": [
            *success_records(DOOR, [1, 1, 1, 1]),
            *success_records(replace(DOOR, perturb=hard), [1, 1, 1, 1]),
            *success_records(
                replace(DOOR, mask="samg", perturb=hard), [1, 1, 1, 0], mean_iou=0.9, min_iou=0.8
            ),
            *success_records(replace(DOOR, mask="none", perturb=hard), [1, 0, 0, 0]),
            *success_records(raw, [1, 1, 1, 1], learned_from="none"),
            *success_records(replace(raw, perturb=hard), [0, 0, 1, 0], learned_from="none"),
        ],
        "walk": [
            *return_records(WALK, [800, 800, 950]),
            *return_records(replace(WALK, perturb=hard), [760, 760, 900]),
        ],
        "walk_samg": return_records(replace(WALK, mask="samg", perturb=hard), [560, 560]),
    }
    for name, records in episodes.items():
        with open_folder(folder / name, EvalConfig(masks=("oracle", "samg"))) as run:
            for record in records:
                run.append(record)
    return [folder / name for name in episodes]


@pytest.mark.usefixtures("few_draws")
def test_page_puts_runs_together_and_begins_with_the_short_of_it(tmp_path: Path) -> None:
    write_page(several_runs(tmp_path), tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text()
    heads = [line for line in text.splitlines() if line.startswith("## ")]
    assert heads[:2] == ["## Under `video_hard=DIR/clips`", "## The world as it is"]
    glance = text[text.index(heads[0]) : text.index(heads[1])].splitlines()
    (door,) = (line for line in glance if line.startswith("| adroit_door |"))
    scores = "3 of 4 | 4 of 4 | 1 of 4 | 1 of 4"
    assert door.startswith(f"| adroit_door | student | {scores} | 0.75 [")
    assert door.count("| 0.75 [") == 2 and "| 0.25 [" in door and door.endswith("| 0.90 |")
    (walk,) = (line for line in glance if line.startswith("| walker_walk |"))
    # Over the two seeds that both runs have.
    ratios = "0.74 [0.74, 0.74] | 0.70 [0.70, 0.70]"
    assert walk == (
        f"| walker_walk | student | 560 (n = 2) | 807 (n = 3) | - | - | {ratios} | - | - |"
    )
    assert (
        "| 1 with success | student | `samg` / clean `oracle` | 0.75 | 0.75 (adroit_door) |"
        in glance
    )
    assert (
        "| 1 with success | raw_student | twin / clean twin | 0.25 | 0.25 (adroit_door) |"
        in glance
    )
    assert (
        "| 1 with a return | student | `samg` / clean `oracle` | 0.70 | 0.70 (walker_walk) |"
        in glance
    )
    weak = [line for line in text.splitlines() if "of the clean `oracle`'s" in line]
    assert [line[2:13] for line in weak] == ["walker_walk", "adroit_door"], "the worst first"
    assert weak[0].endswith("; the `oracle`'s masks under the same look reach 0.95")
    details = text[text.index("### walker_walk") :].splitlines()
    shown = [line for line in details if line.startswith("| walker_walk | student |")]
    assert [line.split(" | ")[-1] for line in shown] == ["2 |", "3 |", "2 |"]


@pytest.mark.usefixtures("few_draws")
def test_runs_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    folders = several_runs(tmp_path)
    config = folders[1] / "config.json"
    config.write_text(config.read_text().replace("c0ffee", "decade"))
    with pytest.raises(ConfigError, match="'door' and 'walk' differ in the checkpoint of student"):
        write_page(folders, tmp_path / "page.md")
    config.write_text(config.read_text().replace("decade", "c0ffee"))
    again = tmp_path / "again" / "other"
    again.mkdir(parents=True)
    for name in ("config.json", "episodes.jsonl"):
        (again / name).write_bytes((folders[0] / name).read_bytes())
    write_page([*folders, again], tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text()
    assert "| 3 of 4 |" in text and "of 8" not in text, "an episode counts once"
    changed = (
        (again / "config.json").read_text().replace('"on_lost": "hold"', '"on_lost": "blank"')
    )
    (again / "config.json").write_text(changed)
    with pytest.raises(ConfigError, match=r"'door' and 'other' differ in on_lost \(adroit_door"):
        write_page([*folders, again], tmp_path / "page.md")


@pytest.mark.usefixtures("few_draws")
def test_episodes_through_nodes_stand_beside_those_in_process(tmp_path: Path) -> None:
    for name, via_ros, successes in (("process", False, [1, 1, 0]), ("nodes", True, [1, 0, 0])):
        with open_folder(tmp_path / name, EvalConfig(via_ros=via_ros)) as folder:
            for record in success_records(DOOR, successes):
                folder.append(record)
    write_page([tmp_path / "process", tmp_path / "nodes"], tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text()
    through = text[text.index("## Through the ROS nodes") :]
    assert "| adroit_door | student | oracle | none | 3 | 1 | 0.3 | 2 of 3 | 2 |" in through
    assert "| 2 of 3 | 0.67 [" in text[: text.index("## Through the ROS nodes")], "not counted in"
    write_page([tmp_path / "nodes"], tmp_path / "page.md")
    assert "| 3 | 1 | 0.3 | - | 1 |" in (tmp_path / "page.md").read_text()


@pytest.mark.usefixtures("few_draws")
def test_page_owns_up_where_nothing_clean_was_run(tmp_path: Path) -> None:
    with open_folder(tmp_path / "walk", EvalConfig(episodes=2), [WALK]) as folder:
        for record in return_records(replace(WALK, mask="samg", perturb="photos"), [5, 3]):
            folder.append(record)
    write_page([tmp_path / "walk"], tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text()
    assert "masks samg, photos: not known, since nothing clean was run to compare with" in text


@pytest.mark.usefixtures("few_draws")
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


@pytest.mark.usefixtures("few_draws")
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
        ([], "name the folders"),
        ([door_run, door_run], "two folders are called door"),
        ([door_run, tmp_path / "empty"], "not the folder of an evaluation"),
        ([door_run, tmp_path / "none"], "not the settings of an evaluation"),
        ([door_run, tmp_path / "new"], "no episode has ended yet"),
    ):
        with pytest.raises(ConfigError, match=reason):
            write_page(folders, page)
    assert page.read_text() == "as it was"
