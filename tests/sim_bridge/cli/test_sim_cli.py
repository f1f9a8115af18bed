"""``samg sim``: the lists tell what the models have, the sheets show what they are asked to."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from samg_ros.cli import main
from samg_ros.errors import ConfigError
from samg_ros.io import contact_sheet

# The renderer comes first: it chooses the OpenGL backend before mujoco is imported.
for module in ("sim_bridge.render.renderer", "dm_control", "gymnasium_robotics", "skimage"):
    pytest.importorskip(module, reason="needs the [sim] extra", exc_type=ModuleNotFoundError)

from sim_bridge.cli import worlds
from sim_bridge.cli.list import TaskFacts, task_facts
from sim_bridge.perturbations.grammar import make_perturbation, perturbations, supported
from sim_bridge.scenes.preview import clip_folder, name_of, previews, settings, with_clips
from sim_bridge.task import make_task, tasks

DOCS = Path(__file__).parents[3] / "docs"
SIZE = 48


@pytest.fixture(scope="module")
def facts() -> dict[str, TaskFacts]:
    return {name: task_facts(name) for name in tasks.names()}


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A folder with one picture, all of one colour."""
    (tmp_path / "clips").mkdir()
    cv2.imwrite(str(tmp_path / "clips" / "a.png"), np.full((30, 30, 3), (10, 250, 20), np.uint8))
    return tmp_path / "clips"


class TestList:
    def test_every_task_tells_units_and_limits_of_all_it_takes_and_gives(self, facts):
        for name, one in facts.items():
            axes = [*one.actions, *one.joints]
            assert all(axis.low is None or axis.low < axis.high for axis in axes), name
            assert {axis.unit for axis in one.joints} <= {"rad", "m"}, name
            ends = {"position": "", "velocity": "/s"}
            if one.command_mode in ends:
                expected = {unit + ends[one.command_mode] for unit in ("rad", "m")}
            else:
                expected = {"N m", "N"}
            assert {axis.unit for axis in one.actions} <= expected, name
            assert one.default_camera in one.cameras and one.targets
            written = {re.split(r"[\[=]", term)[0] for term in one.perturbations}
            assert written == set(supported(name)), name

    def test_figures_that_are_known(self, facts):
        door, cartpole = facts["adroit_door"], facts["cartpole_swingup"]
        assert (door.control_rate_hz, door.episode_s, door.has_success) == (50, 2, True)
        hinge = next(axis for axis in door.joints if axis.name == "door_hinge")
        assert (hinge.unit, hinge.low, hinge.high) == ("rad", 0, 1.57)
        lift = next(axis for axis in door.actions if axis.name == "ARTz")
        assert (lift.unit, lift.range) == ("m", "-0.3 to 0.5")
        assert [(a.name, a.unit, a.low, a.high) for a in cartpole.actions] == [
            ("slider", "N", -10, 10)
        ]
        assert not cartpole.has_success
        assert cartpole.joints[1].range == "free"
        gripper = facts["arm_lift_peg_upright_ee"].actions
        assert [axis.unit for axis in gripper] == [*["m/s"] * 3, *["rad/s"] * 3, "m/s"]

    def test_a_table_of_all_names_every_task(self, facts, monkeypatch, capsys):
        monkeypatch.setattr("sim_bridge.cli.list.task_facts", facts.get)
        assert main(["sim", "list"]) == 0
        out = capsys.readouterr().out
        for name, one in facts.items():
            (line,) = (line for line in out.splitlines() if line.startswith(f"{name} "))
            assert f"{len(one.actions)} {one.command_mode}" in line
            assert f"{one.control_rate_hz:g} Hz" in line
            assert ("success" in line) == one.has_success

    def test_one_task_is_told_whole(self, capsys):
        assert main(["sim", "list", "finger_spin"]) == 0
        out = capsys.readouterr().out
        for text in ("cam0 cam1", "finger spinner", "object_color=easy|medium|hard", "25 Hz"):
            assert text in out
        assert re.search(r"proximal +-1.92 to 1.92 +rad +yes", out)
        assert re.search(r"hinge +free +rad *$", out, re.MULTILINE)
        assert re.search(r"distal +-\S+ to \S+ +N m", out)
        assert "color_easy[=FILE or FOLDER]" in out

    def test_json_has_everything_and_no_infinity(self, facts, monkeypatch, capsys):
        monkeypatch.setattr("sim_bridge.cli.list.task_facts", facts.get)
        assert main(["sim", "list", "hopper_hop", "adroit_pen", "--json"]) == 0
        told = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
        assert [one["name"] for one in told] == ["hopper_hop", "adroit_pen"]
        assert told[0]["joints"][0] == {"name": "rootx", "unit": "m", "low": None, "high": None}
        assert len(told[1]["cameras"]) == 7 and len(told[1]["actions"]) == 24

    def test_an_unknown_task_is_told_before_any_is_made(self, monkeypatch, capsys):
        monkeypatch.setattr("sim_bridge.cli.list.task_facts", pytest.fail)
        assert main(["sim", "list", "adroit_door", "adroit_dor"]) == 1
        assert "unknown task 'adroit_dor'; choose one of" in capsys.readouterr().err


class TestSettings:
    def test_each_can_be_made_for_what_supports_it(self, clips):
        shown = settings()
        assert shown[0] == "none" and len(set(shown)) == len(shown)
        assert {name_of(one) for one in shown} == {"", *perturbations.names()}
        assert [s for s in shown if name_of(s) == "camera_pose"] == [
            "camera_pose=easy",
            "camera_pose=medium",
            "camera_pose=hard",
        ]
        for setting in shown:
            for task in ("adroit_door", "ball_in_cup_catch"):
                if setting == "none" or name_of(setting) in supported(task):
                    make_perturbation(with_clips(setting, clips), task)

    def test_a_folder_is_put_where_none_is_named(self, clips):
        assert with_clips("video_hard", clips) == f"video_hard={clips}"
        text = with_clips("camera_fov=easy,video_easy@4", clips)
        assert text == f"camera_fov=easy,video_easy={clips}@4"
        for own in ("none", "photos", "video_hard=/elsewhere", "color_easy"):
            assert with_clips(own, clips) == own

    def test_photographs_stand_in_for_a_folder(self):
        with clip_folder("") as folder:
            assert len(list(folder.glob("*.png"))) > 5
            make_perturbation(with_clips("video_easy", folder), "walker_walk")
        assert not folder.exists()

    def test_a_folder_of_ones_own_is_left_alone(self, clips):
        with clip_folder(str(clips)) as folder:
            assert folder == clips
        assert (clips / "a.png").exists()


class TestPreviews:
    def test_looks_of_one_moment(self, clips):
        def pushing(result):
            return np.ones(1)

        texts = {"none": "none", "clip": f"video_hard={clips}"}
        task = make_task("cartpole_swingup", height=SIZE, width=SIZE)
        try:
            shown = list(previews(task, texts, [3, 4], step=6, experts=lambda seed: pushing))
        finally:
            task.close()
        assert [(one.seed, one.label) for one in shown] == [
            (3, "none"),
            (3, "clip"),
            (4, "none"),
            (4, "clip"),
        ]
        clean, clip, other = (one.frame for one in shown[:3])
        assert clean.step == clip.step == 6
        np.testing.assert_array_equal(clean.targets, clip.targets)
        assert (clip.rgb[clip.targets == 0] == (20, 250, 10)).all()
        assert (clean.targets != other.targets).any()

    def test_the_end_of_an_episode_is_as_far_as_it_goes(self):
        task = make_task("adroit_door", height=SIZE, width=SIZE)
        try:
            still = np.zeros(task.spec.action_size)
            (one,) = previews(
                task, {"none": "none"}, [0], step=999, experts=lambda seed: lambda result: still
            )
        finally:
            task.close()
        assert one.frame.step == 100


class TestPreviewCommand:
    def run(self, *arguments: str) -> int:
        return main(["sim", "preview", *arguments])

    def test_a_sheet_is_written(self, clips, tmp_path, capsys):
        out = tmp_path / "new" / "sheet.png"
        looks = ("--perturb", "none", "video_hard", "--seeds", "0", "1", "--size", str(SIZE))
        assert self.run("finger_spin", *looks, "--videos", str(clips), "--out", str(out)) == 0
        assert f"wrote {out}" in capsys.readouterr().out
        sheet = cv2.imread(str(out))[..., ::-1]
        assert sheet.shape[1] > 4 * SIZE and sheet.shape[0] > 2 * SIZE
        clip = (sheet == (20, 250, 10)).all(-1)
        # Picture and mask of two episodes; the finger takes up less than half of each.
        assert 2 * SIZE**2 < clip.sum() < 4 * SIZE**2
        overlay = sheet[..., 1].astype(int) - sheet[..., 0] > 60
        assert (overlay & ~clip).sum() > 50

    def test_what_is_named_twice_is_shown_once(self, clips, tmp_path):
        twice, once = tmp_path / "twice.png", tmp_path / "once.png"
        task, size = "cartpole_balance", ("--size", "32")
        looks = ("--perturb", "none", "none", "--seeds", "1", "1")
        assert self.run(task, task, *looks, *size, "--out", str(twice)) == 0
        assert self.run(task, "--seeds", "1", *size, "--out", str(once)) == 0
        assert twice.read_bytes() == once.read_bytes()

    @pytest.mark.parametrize("name", ["a,b", "run@7"])
    def test_a_folder_that_no_term_can_name(self, name, tmp_path, capsys):
        (tmp_path / name).mkdir()
        looks = ("--perturb", "video_hard", "--videos", str(tmp_path / name))
        assert self.run("finger_spin", *looks) == 1
        assert "holds a comma or ends like @7" in capsys.readouterr().err

    def test_a_place_that_cannot_be_written_to(self, tmp_path, capsys):
        (tmp_path / "file").touch()
        out = str(tmp_path / "file" / "sheet.png")
        assert self.run("cartpole_balance", "--size", "32", "--out", out) == 1
        assert f"cannot write {out}" in capsys.readouterr().err

    def test_all_writes_a_page_and_a_picture(self, clips, tmp_path, capsys):
        options = ("--all", "--size", "32", "--videos", str(clips), "--out", str(tmp_path / "d"))
        assert self.run("cheetah_run", "adroit_pen", *options) == 0
        page = (tmp_path / "d" / "worlds.md").read_text()
        assert "| `cheetah_run` | 6, effort | 50 Hz |" in page and "adroit_door" not in page
        assert (
            "`table_color=easy\\|medium\\|hard` | other colours of the table | adroit_pen |"
            in page
        )
        sheet = cv2.imread(str(tmp_path / "d" / "worlds.jpg"))
        assert sheet.shape[0] > 32 * len(settings())
        # What suits one task alone leaves a grey field in the other's column.
        alone = [
            s
            for s in settings()
            if s != "none"
            and (name_of(s) in supported("cheetah_run")) != (name_of(s) in supported("adroit_pen"))
        ]
        grey = (np.abs(sheet.astype(int) - contact_sheet.EMPTY) < 4).all(-1)
        assert grey.sum() > 0.9 * len(alone) * 32 * 32 > 0

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ((), "name the tasks to preview, or --all"),
            (("adroit_dor",), "unknown task 'adroit_dor'"),
            (("walker_walk", "--perturb", "table_color=easy"), "does not suit task 'walker_walk'"),
            (("walker_walk", "--perturb", "none", "beach"), "unknown perturbation 'beach'"),
            (("walker_walk", "--camera", "moon"), "unknown camera 'moon'"),
            (("walker_walk", "--seeds", "-1"), "seed"),
            (("walker_walk", "--seeds"), "seeds and perturb must each name at least one"),
            (("walker_walk", "--videos", "/no/such"), "no folder '/no/such'"),
            (("walker_walk", "--out", "sheet.pdf"), "cannot write sheet.pdf: name a .png or .jpg"),
            (("walker_walk", "--size", "4000"), "size is 4000"),
        ],
    )
    def test_what_cannot_be_shown_is_refused(self, arguments, said, monkeypatch, tmp_path, capsys):
        monkeypatch.chdir(tmp_path)
        assert self.run(*arguments) == 1
        assert said in " ".join(capsys.readouterr().err.split())
        assert not list(tmp_path.iterdir())


def test_the_page_in_the_documentation_is_what_the_command_writes(facts):
    page = worlds.worlds_page(list(facts.values()), own_clips=False)
    written = (DOCS / "worlds.md").read_text()
    assert written == page, "tasks or settings have changed: run `samg sim preview --all`"
    assert (DOCS / "worlds.jpg").stat().st_size <= worlds.LARGEST


def test_an_empty_list_of_clips_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="no pictures or videos"):
        make_perturbation(with_clips("video_hard", tmp_path), "walker_walk")
