"""Perturbations as they are drawn: the benchmarks' cameras, lights, colours and clips."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from perturbation_fixtures import ARM, save_table

from samg_ros.errors import ImageError
from sim_bridge.perturbations.grammar import make_perturbation
from sim_bridge.scenes.scene import Scene
from sim_bridge.task import Task, make_task


@pytest.fixture(scope="module")
def arm() -> Iterator[Task]:
    pytest.importorskip(
        "sim_bridge.render.renderer", reason="needs the [sim] extra", exc_type=ModuleNotFoundError
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
        scene.act(np.zeros(6))
