"""The page of results: every number with its command, and what failed as openly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import pytest
from eval_fixtures import (  # noqa: F401 - few_draws is a fixture
    few_draws,
    open_folder,
    return_records,
    success_records,
)

from policies.episode import Cell
from policies.eval.config import EvalConfig
from policies.eval.report.page import write_page
from samg_ros.cli import main
from samg_ros.errors import ConfigError

DOOR = Cell("adroit_door", "student", "oracle", "none")
WALK = Cell("walker_walk", "student", "oracle", "none")


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
    assert weak[0].endswith("; the `oracle`'s masks under the same perturbation reach 0.95")
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
        ([door_run, tmp_path / "empty"], "not the folder of a run"),
        ([door_run, tmp_path / "none"], "not the settings of a run"),
        ([door_run, tmp_path / "new"], "no episode has ended yet"),
    ):
        with pytest.raises(ConfigError, match=reason):
            write_page(folders, page)
    assert page.read_text() == "as it was"
