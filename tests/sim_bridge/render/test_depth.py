"""Depth: known distances from a camera, and for every task what MuJoCo's own rays meet."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from kinds import quick

from sim_bridge.bridge.session import Session
from sim_bridge.perturbations.grammar import make_perturbation
from sim_bridge.scenes.scene import Scene
from sim_bridge.task import make_task, tasks
from sim_bridge.tasks.mujoco_task import MujocoTask

# The renderer comes first: it chooses the OpenGL backend before mujoco is imported.
rendering = pytest.importorskip(
    "sim_bridge.render.renderer", reason="needs the [sim] extra", exc_type=ModuleNotFoundError
)
for module in ("dm_control", "gymnasium_robotics", "skimage"):
    pytest.importorskip(module, reason="needs the [sim] extra")

mujoco = rendering.mujoco
HEIGHT, WIDTH = 60, 80
XML = """
<mujoco>
  <worldbody>
    <camera name="top" pos="0 0 5" fovy="40"/>
    <camera name="askew" pos="0 -3 4" xyaxes="1 0 0 0 .8 .6" fovy="40"/>
    <camera name="sky" pos="0 0 5" xyaxes="1 0 0 0 -1 0" fovy="40"/>
    <geom type="plane" size="9 9 .1"/>
    <geom type="box" pos="1 0 .5" size=".3 .3 .5"/>
    <geom type="sphere" pos="-1 0 1" size=".25"/>
  </worldbody>
</mujoco>
"""


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "shadows"])
def renderer(request: pytest.FixtureRequest) -> Iterator:
    model = mujoco.MjModel.from_xml_string(XML)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    made = rendering.TaskRenderer(
        model, data, bodies={}, sites={}, height=HEIGHT, width=WIDTH, shadows=request.param
    )
    yield made
    made.close()


@pytest.fixture(scope="module", params=quick(tasks.names()))
def task(request: pytest.FixtureRequest) -> Iterator[MujocoTask]:
    task = make_task(request.param, height=HEIGHT, width=WIDTH)
    task.reset(0)
    yield task
    task.close()


def pixel_rays(fovy_rad: float) -> np.ndarray:
    """Through the pixels' middles in the camera's frame (y up, z back), float64 [H, W, 3]; the
    third coordinate is -1, so a point at depth d is d times the ray."""
    focal = HEIGHT / (2 * np.tan(fovy_rad / 2))
    x = (np.arange(WIDTH) - (WIDTH - 1) / 2) / focal
    y = ((HEIGHT - 1) / 2 - np.arange(HEIGHT)) / focal
    return np.stack([*np.meshgrid(x, y), np.full((HEIGHT, WIDTH), -1.0)], axis=-1)


def test_surfaces_across_the_axis_have_one_depth(renderer) -> None:
    depth = renderer.depth("top")
    assert depth.shape == (HEIGHT, WIDTH) and depth.dtype == np.float32
    # 60 rows show 2 x 5 m x tan 20 degrees at the floor; the box is 1 m to the right, 1 m high.
    focal = HEIGHT / (2 * np.tan(np.radians(20)))
    column = round((WIDTH - 1) / 2 + 1 * focal / 4)
    assert depth[0, 0] == pytest.approx(5, rel=1e-5)
    assert depth[30, column] == pytest.approx(4, rel=1e-5)
    assert depth.min() == pytest.approx(3.75, abs=0.02)  # the ball's top, of flat faces
    flat = np.isclose(depth, 5, rtol=1e-5).sum() + np.isclose(depth, 4, rtol=1e-5).sum()
    assert flat > 0.85 * depth.size


def test_depth_is_along_the_axis_and_not_along_the_ray(renderer) -> None:
    """The floor under a tilted camera, by geometry: the axis looks down at asin 0.8."""
    rays = pixel_rays(np.radians(40))
    down = rays[..., 1] * -0.6 + rays[..., 2] * -0.8
    expected = 4 / down
    seen = renderer.depth("askew")
    floor = np.isclose(seen, expected, rtol=2e-3)
    # Only ball and box are nearer.
    assert floor.mean() > 0.8 and (seen[~floor] < expected[~floor]).all()


def test_where_nothing_is_depth_is_infinite(renderer) -> None:
    assert np.isposinf(renderer.depth("sky")).all()


def test_a_picture_after_depth_is_a_picture(renderer) -> None:
    before = renderer.rgb("top"), renderer.segmentation("top")
    renderer.depth("top")
    np.testing.assert_array_equal(renderer.rgb("top"), before[0])
    np.testing.assert_array_equal(renderer.segmentation("top"), before[1])


def ray_depth(task: MujocoTask, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Depth by MuJoCo's collision geometry instead of OpenGL, float64 [N]; -1 for nothing."""
    camera = task.data.camera(task.spec.default_camera)
    rays = pixel_rays(task.camera_fovy_rad())[rows, columns]
    lengths = np.linalg.norm(rays, axis=1)
    seen_groups = np.array([1, 1, 1, 0, 0, 0], np.uint8)  # what the renderer draws
    hit = np.zeros(1, np.int32)
    depths = []
    for ray, length in zip(rays, lengths, strict=True):
        way = camera.xmat.reshape(3, 3) @ (ray / length)
        far = mujoco.mj_ray(task.model, task.data, camera.xpos, way, seen_groups, 1, -1, hit)
        depths.append(far / length if far >= 0 else -1)
    return np.array(depths)


def test_every_task_has_the_depth_that_rays_find(task: MujocoTask) -> None:
    rng = np.random.default_rng(0)
    rows, columns = rng.integers(HEIGHT, size=200), rng.integers(WIDTH, size=200)
    depth = task.depth()
    seen, expected = depth[rows, columns], ray_depth(task, rows, columns)
    hit = expected >= 0
    agree = np.isclose(seen, expected, rtol=0.01)
    # Curved things are drawn with flat faces, and sites and tendons stop no ray.
    assert agree[hit].mean() > 0.95
    assert hit.sum() > 20
    on_target = task.segmentation() > 0
    assert np.isfinite(depth[on_target]).all()


def test_depth_follows_a_moved_camera_and_ignores_clips(task: MujocoTask) -> None:
    name = task.spec.name
    scene = Scene(task, make_perturbation("photos", name))
    scene.reset(0)
    clean = scene.observe(with_depth=True)
    assert scene.observe().depth is None
    np.testing.assert_array_equal(clean.depth, task.depth())
    scene.perturb(make_perturbation("camera_pose=easy", name))
    moved = scene.observe(with_depth=True).depth
    assert moved is not None and (moved != clean.depth).mean() > 0.2


def test_a_session_has_depth_where_it_is_asked_for(task: MujocoTask) -> None:
    for with_depth in (False, True):
        session = Session(Scene(task), None, stop_on_success=True, with_depth=with_depth)
        session.reset(0)
        depth = session.observe().depth
        assert (depth is not None) == with_depth
    np.testing.assert_array_equal(depth, task.depth())
