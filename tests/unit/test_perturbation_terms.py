"""Perturbations: what their grammar takes and refuses, and the values they are made of."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from samg_ros.errors import ConfigError, ImageError, SamgError
from sim_bridge import surface_textures as surfaces
from sim_bridge.color_tables import SUITE, draw, load
from sim_bridge.perturbations import (
    Term,
    describe,
    make_perturbation,
    parse,
    perturbations,
    supported,
)
from sim_bridge.scene import Scene
from sim_bridge.task import Task, make_task

ARM = "arm_lift_peg_upright"
DMC_GB = Path(__file__).parents[3] / "shared" / "data" / "dmc_gb"
BENCHMARK = {
    f"{kind}_{what}"
    for kind, whats in {
        "camera": ("pose", "fov"),
        "light": ("direction", "color"),
        "table": ("color", "texture"),
        "ground": ("color", "texture"),
        "object": ("color", "texture"),
    }.items()
    for what in whats
}


def save_table(path: Path, **colours: tuple[float, float, float]) -> None:
    entry = {"grid_rgb1": (0, 0, 0), "grid_rgb2": (0, 0, 0), "self_rgb": (0, 0, 0)}
    entry |= {"skybox_rgb": (0, 0, 0), **colours}
    torch.save([{name: np.array(value, float) for name, value in entry.items()}], path)


# Grammar


@pytest.mark.parametrize("text", ["", "none", " none "])
def test_nothing_is_no_term(text: str) -> None:
    assert parse(text) == ()
    assert str(make_perturbation(text, "walker_walk")) == "none"


def test_terms_have_a_name_an_argument_and_a_seed() -> None:
    text = "video_hard=/data/my clips/a=b,camera_pose=medium, object_texture=hard@7,noise@0"
    assert parse(text) == (
        Term("video_hard", "/data/my clips/a=b"),
        Term("camera_pose", "medium"),
        Term("object_texture", "hard", 7),
        Term("noise", "", 0),
    )
    assert ",".join(map(str, parse(text))) == text.replace(", ", ",")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/some/folder", "video_hard=FOLDER"),
        ("none,noise", "'none' stands alone"),
        ("noise,,photos", "cannot read ''"),
        ("noise@x", "cannot read"),
        ("noise@4294967296", "at most 4294967295"),
        ("beach", "choose one of: .*video_easy"),
        ("noise=3", "takes no argument"),
        ("camera_fov", "camera_fov=medium"),
        ("camera_fov=harder", "'harder'.*easy, medium, hard"),
        ("camera_fov=hard@", "hard@"),
        ("camera_fov=easy,camera_fov=hard", "given twice"),
        ("noise,photos", "noise and photos both"),
        ("video_hard", "no folder is given"),
        ("video_easy=nowhere", "no folder 'nowhere'"),
        ("color_hard=nowhere.pt", r"nowhere\.pt"),
        ("table_color=easy", "'walker_walk': it needs a table.*supports: camera_fov"),
        ("object_texture=easy", "needs an object"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make_perturbation(text, "walker_walk")


def test_all_of_both_benchmarks_are_there() -> None:
    modes = {f"{mode}_{level}" for mode in ("color", "video") for level in ("easy", "hard")}
    assert set(perturbations.names()) == BENCHMARK | modes | {"noise", "photos"}
    assert set(supported(ARM)) == set(perturbations.names())
    lacking = set(perturbations.names()) - set(supported("adroit_door"))
    assert lacking == {"ground_color", "ground_texture"}
    assert len(describe()) == len(perturbations.names())


@pytest.mark.parametrize("name", ["clip.mp4", "clip.png"])
def test_a_clip_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not a clip" * 20)
    with pytest.raises(ImageError, match=name):
        make_perturbation(f"video_hard={tmp_path}", "walker_walk")


# Colour tables


@pytest.mark.parametrize("name", ["color_easy", "color_hard"])
def test_the_tables_of_dmc_gb_are_read(name: str) -> None:
    if not DMC_GB.is_dir():
        pytest.skip("the tables lie in ../shared/data/dmc_gb, which is not here")
    table = load(DMC_GB, name)
    assert len(table) == 100 == len(load(DMC_GB / f"{name}.pt", "any"))
    np.testing.assert_allclose(
        [entry.grid_rgb2 - entry.grid_rgb1 for entry in table], 0.1, atol=1e-6
    )
    first = {"color_easy": [0.109165, 0.11903745, 0.18573619], "color_hard": [0, 0.0717, 0.0381]}
    np.testing.assert_allclose(table[0].grid_rgb1, first[name], atol=1e-4)


def test_drawn_tables_lie_about_the_suites_colours() -> None:
    for spread in (0.25, 0.6):
        reds = np.array([entry.self_rgb[0] for entry in draw(spread)])
        assert reds.min() < SUITE.self_rgb[0] * (1 - spread / 2) and reds.max() > SUITE.self_rgb[0]
    easy, hard = (np.std([e.skybox_rgb for e in draw(spread)]) for spread in (0.25, 0.6))
    assert easy < hard


class _Harm:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("harm"),))


@pytest.mark.parametrize("kind", ["code", "text", "shape", "keys", "empty"])
def test_a_bad_table_is_refused_and_never_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "color_easy.pt"
    if kind == "code":
        torch.save([_Harm()], path, pickle_module=pickle)
    elif kind == "text":
        path.write_text("not a table")
    elif kind == "shape":
        save_table(path, self_rgb=(1, 2, 3))
    else:
        torch.save([{}] if kind == "keys" else [], path)
    with pytest.raises(SamgError, match=r"color_easy\.pt"):
        make_perturbation(f"color_easy={path}", "walker_walk")
    assert not Path("harm").exists()


# Textures


@pytest.mark.parametrize(
    "make",
    [
        lambda rng: surfaces.wood(surfaces.ORANGE, rng),
        lambda rng: surfaces.wood(surfaces.DARK, rng),
        surfaces.concrete,
        surfaces.flowers,
        surfaces.stripes,
        surfaces.fleece,
        surfaces.chaos,
    ],
)
def test_textures_follow_their_seed_and_tile(make) -> None:
    one, same, other = (make(np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert one.shape == (surfaces.SIZE, surfaces.SIZE, 3) and one.dtype == np.uint8
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    for axis in (0, 1):
        image = np.moveaxis(one, axis, 0).astype(int)
        inside = np.abs(np.diff(image, axis=0)).mean(axis=(1, 2)).max()
        assert np.abs(image[0] - image[-1]).mean() <= 1.5 * inside + 1


# What is drawn


@pytest.fixture(scope="module")
def arm() -> Iterator[Task]:
    pytest.importorskip(
        "sim_bridge.rendering", reason="needs the [sim] extra", exc_type=ModuleNotFoundError
    )
    task = make_task(ARM, height=32, width=32)
    task.reset(0)
    yield task
    task.close()


@pytest.fixture(scope="module")
def walker() -> Iterator[Task]:
    pytest.importorskip("dm_control", reason="needs the [sim] extra")
    task = make_task("walker_walk", height=64, width=64)
    yield task
    task.close()


def drawn(task: Task, text: str):
    """The abstract scene of a picture."""
    scene = Scene(task, make_perturbation(text, task.spec.name))
    scene.reset(0)
    scene.observe()
    return task._renderer._renderer.scene


@pytest.mark.parametrize(
    ("level", "eye", "target", "fovy"),
    [
        ("easy", (0.42, 0, 0.6), (0, 0, 0), 1.79519580205),
        ("medium", (0.4, -0.3, 0.3), (-0.3, 0.3, -0.1), 2.09439510239),
        ("hard", (0.2, -0.9, 0.2), (-0.2, 0.3, -0.2), 2.51327412287),
    ],
)
def test_the_arms_camera_is_the_benchmarks(arm: Task, level: str, eye, target, fovy) -> None:
    for camera in drawn(arm, f"camera_pose={level},camera_fov={level}").camera:
        np.testing.assert_allclose(camera.pos, eye, atol=1e-6)
        forward = np.subtract(target, eye) / np.linalg.norm(np.subtract(target, eye))
        np.testing.assert_allclose(camera.forward, forward, atol=1e-6)
        assert camera.up @ camera.forward == pytest.approx(0, abs=1e-6) and camera.up[2] > 0
    assert arm.camera_fovy_rad() == pytest.approx(fovy, rel=1e-5)


@pytest.mark.parametrize(
    ("level", "directions", "ambient"),
    [
        ("easy", ((0, 1, -1), (0, 0, -1)), (0.8, 0.8, 0.8)),
        ("medium", ((0, 0, -0.1), (1, 1, -0.1)), (0, 0.8, 0)),
        ("hard", ((0, 0, 1), (1, 1, 1)), (0, 0, 1)),
    ],
)
def test_the_arms_light_is_the_benchmarks(arm: Task, level: str, directions, ambient) -> None:
    before = drawn(arm, "none")
    diffuse = sum(light.diffuse.astype(float) for light in before.lights[: before.nlight])
    scene = drawn(arm, f"light_direction={level},light_color={level}")
    lights = [light for light in scene.lights[: scene.nlight] if light.diffuse.any()]
    assert len(lights) == 2
    for light, direction in zip(lights, directions, strict=True):
        np.testing.assert_allclose(
            light.dir, np.array(direction) / np.linalg.norm(direction), atol=1e-6
        )
    np.testing.assert_allclose(sum(light.diffuse for light in lights), diffuse, rtol=1e-5)
    total = sum(light.ambient for light in scene.lights[: scene.nlight])
    np.testing.assert_allclose(total, ambient, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "geom", "colour"),
    [
        ("table_color=easy", "table", (0.980392157, 0.31372549, 0)),
        ("ground_color=easy", "ground", (0.098039216,) * 3),
        ("table_color=hard,ground_color=medium", "table", (0, 0, 1)),
        ("table_color=hard,ground_color=medium", "ground", (0, 1, 0)),
        ("object_color=easy", "peg_red", (1, 0, 0)),
        ("object_color=medium", "peg_red", (0, 0, 1)),
        ("object_color=medium", "peg_blue", (0, 1, 0)),
        ("object_color=hard", "peg_blue", (1, 1, 1)),
        ("table_texture=hard,table_color=medium", "table", (0, 1, 0)),
    ],
)
def test_the_arms_colours_are_the_benchmarks(arm: Task, text: str, geom: str, colour) -> None:
    scene = drawn(arm, text)
    wanted = arm._model.geom(geom).id
    (painted,) = [g for g in scene.geoms[: scene.ngeom] if (g.objtype, g.objid) == (5, wanted)]
    np.testing.assert_allclose(painted.rgba, (*colour, 1), atol=1e-6)
    assert painted.texid == -1


def test_colour_tables_paint_floor_robot_and_sky(walker: Task, tmp_path: Path) -> None:
    """Red floor, green robot, blue sky; everything else is dark."""
    save_table(
        tmp_path / "color_hard.pt",
        grid_rgb1=(0.6, 0, 0),
        grid_rgb2=(1, 0, 0),
        self_rgb=(0, 1, 0),
        skybox_rgb=(0, 0, 1),
    )
    scene = Scene(walker, make_perturbation(f"color_hard={tmp_path}", "walker_walk"))
    scene.reset(0)
    frame = scene.observe()
    sky = walker.backdrop()
    robot = cv2.erode((frame.targets > 0).astype(np.uint8), np.ones((3, 3))) > 0
    floor = cv2.erode((~sky & (frame.targets == 0)).astype(np.uint8), np.ones((5, 5))) > 0
    for where, channel in ((floor, 0), (robot, 1), (sky, 2)):
        seen = frame.rgb[where].mean(axis=0)
        assert where.any() and seen[channel] > 40
        assert (np.delete(seen, channel) < 0.5 * seen[channel]).all()


def test_a_change_that_fails_changes_nothing(walker: Task, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "clip.png"), np.zeros((8, 8, 3), np.uint8))
    scene = Scene(walker, make_perturbation("light_color=hard", "walker_walk"))
    scene.reset(0)
    before = scene.observe().rgb
    broken = make_perturbation(f"video_hard={tmp_path}", "walker_walk")
    (tmp_path / "clip.png").write_bytes(b"")
    with pytest.raises(ImageError, match=r"clip\.png"):
        scene.perturb(broken)
    np.testing.assert_array_equal(scene.observe().rgb, before)


def test_clips_play_a_frame_a_step(walker: Task, tmp_path: Path) -> None:
    writer = cv2.VideoWriter(
        str(tmp_path / "clip.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (32, 32)
    )
    if not writer.isOpened():
        pytest.skip("this OpenCV cannot write videos")
    for i in range(3):
        writer.write(np.full((32, 32, 3), 60 * i, np.uint8))
    writer.release()
    scene = Scene(walker, make_perturbation(f"video_hard={tmp_path}", "walker_walk"))
    scene.reset(0)
    for step in range(5):
        frame = scene.observe()
        assert frame.rgb[frame.targets == 0].mean() == pytest.approx(60 * (step % 3), abs=4)
        scene.step(np.zeros(6))
