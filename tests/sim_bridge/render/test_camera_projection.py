"""``camera_info`` projects: known shapes, projected with it, lie where they are in the picture."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from kinds import quick

# The renderer comes first: it chooses the OpenGL backend before mujoco is imported.
pytest.importorskip("sim_bridge.render.renderer", reason="needs the [sim] extra")
for module in ("dm_control", "gymnasium_robotics"):
    pytest.importorskip(module, reason="needs the [sim] extra")
std_msgs = pytest.importorskip("std_msgs.msg", reason="needs ROS 2's messages")
mujoco = pytest.importorskip("mujoco", reason="needs the [sim] extra")

from sim_bridge.bridge.output import camera_info
from sim_bridge.perturbations.grammar import make_perturbation
from sim_bridge.scenes.scene import Scene
from sim_bridge.task import make_task
from sim_bridge.tasks.mujoco_task import MujocoTask

HEIGHT, WIDTH = 120, 160
LEAST_PIXELS = 25
# Fixed cameras and, of the last two, cameras that follow the robot. The bodies named are whole
# and unhidden in the picture, and made of simple shapes only.
TASKS = {
    "adroit_relocate": (),  # the hand is made of meshes, and hides the ball
    "arm_lift_peg_upright": ("peg",),
    "ball_in_cup_catch": ("ball", "cup"),
    "cartpole_swingup": ("cart", "pole_1"),
    "quadruped_walk": None,
    "walker_walk": None,
}
KEPT = ("adroit_relocate", "arm_lift_peg_upright", "cartpole_swingup", "walker_walk")
SEEDS = range(4)


@pytest.fixture(scope="module", params=quick(TASKS, KEPT))
def task(request: pytest.FixtureRequest) -> Iterator[MujocoTask]:
    task = make_task(request.param, height=HEIGHT, width=WIDTH)
    yield task
    task.close()


def surface(kind: int, size: np.ndarray) -> np.ndarray | None:
    """Points all over a convex geom in its own frame, float64 [N, 3]; None of other kinds."""
    around = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    up = np.linspace(-np.pi / 2, np.pi / 2, 25)[:, None]
    parts = (np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up) + 0 * around)
    ball = np.stack(parts, axis=-1).reshape(-1, 3)
    corners = np.stack(np.meshgrid(*[[-1.0, 1.0]] * 3), axis=-1).reshape(-1, 3)
    kinds = mujoco.mjtGeom
    if kind == kinds.mjGEOM_SPHERE:
        return ball * size[0]
    if kind == kinds.mjGEOM_ELLIPSOID:
        return ball * size
    if kind == kinds.mjGEOM_CAPSULE:
        return ball * size[0] + np.sign(ball[:, 2:]) * [0, 0, size[1]]
    if kind == kinds.mjGEOM_CYLINDER:
        return np.sign(ball[:, 2:]) * [0, 0, size[1]] + ball * [size[0], size[0], 0]
    if kind == kinds.mjGEOM_BOX:
        return corners * size
    return None


def project(task: MujocoTask, points: np.ndarray, fovy_rad: float) -> np.ndarray | None:
    """Pixels (x, y) of points in the world, as a subscriber of ``camera_info`` finds them.

    :return: float64 [N, 2]; None where a point lies behind the camera.
    """
    info = camera_info(std_msgs.Header(), HEIGHT, WIDTH, fovy_rad)
    camera = task._data.camera(task.spec.default_camera)
    # ROS: x right, y down, z forward. MuJoCo: x right, y up, z backward.
    optical = camera.xmat.reshape(3, 3) @ np.diag([1, -1, -1])
    x, y, z = np.reshape(info.k, (3, 3)) @ optical.T @ (points - camera.xpos).T
    return np.stack([x / z, y / z], axis=1) if np.all(z > 0.01) else None


def outline(task: MujocoTask, geom: int, fovy_rad: float) -> np.ndarray | None:
    """Where a convex geom should be, float32 [N, 1, 2]; None of other kinds."""
    model, data = task._model, task._data
    points = surface(model.geom_type[geom], model.geom_size[geom])
    if points is None:
        return None
    world = points @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom]
    pixels = project(task, world, fovy_rad)
    return None if pixels is None else cv2.convexHull(pixels.astype(np.float32))


def geom_ids(task: MujocoTask) -> np.ndarray:
    """The geom in each pixel, -1 for none, int32 [H, W]."""
    ids, types = task._renderer._objects(task.spec.default_camera)
    return np.where(types == mujoco.mjtObj.mjOBJ_GEOM, ids, -1)


def farthest_outside(mask: np.ndarray, shape: np.ndarray) -> float:
    """By how many pixels what is seen sticks out of its outline; negative inside."""
    pixels = np.argwhere(mask)[:, ::-1].astype(float)
    return max(-cv2.pointPolygonTest(shape, tuple(pixel), True) for pixel in pixels)


def drawn(shape: np.ndarray) -> np.ndarray:
    """:return: bool [H, W], the pixels whose middle an outline encloses."""
    pixels = np.stack(np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT)), axis=-1)
    corners = shape[:, 0]
    edges = np.roll(corners, -1, axis=0) - corners
    to_pixels = pixels[:, :, None] - corners
    sides = edges[:, 0] * to_pixels[..., 1] - edges[:, 1] * to_pixels[..., 0]
    return np.all(sides >= 0, axis=-1) | np.all(sides <= 0, axis=-1)


def stick_outs(task: MujocoTask, fovy_rad: float) -> list[float]:
    """:func:`farthest_outside` of every geom of a moving body that can be seen."""
    ids, found = geom_ids(task), []
    for geom in np.unique(ids[ids >= 0]):
        shape, mask = outline(task, geom, fovy_rad), ids == geom
        moves = task._model.geom_bodyid[geom] > 0
        if shape is not None and moves and mask.sum() >= LEAST_PIXELS:
            found.append(farthest_outside(mask, shape))
    return found


def test_what_is_seen_lies_within_its_projected_outline(task: MujocoTask) -> None:
    found = []
    for seed in SEEDS:
        task.reset(seed)
        found += stick_outs(task, task.camera_fovy_rad())
    assert len(found) >= 3 and max(found) < 1.0


def test_another_field_of_view_would_not_fit(task: MujocoTask) -> None:
    """So the test above can fail: a lens 6 % longer shows it."""
    task.reset(0)
    assert max(stick_outs(task, 1.06 * task.camera_fovy_rad())) > 1.0


@pytest.mark.parametrize(
    "task", quick([name for name in TASKS if TASKS[name] != ()], KEPT), indirect=True
)
def test_a_whole_body_fills_its_outlines_without_a_shift(task: MujocoTask) -> None:
    names = TASKS[task.spec.name]
    model, shifts = task._model, []
    bodies = range(1, model.nbody) if names is None else [model.body(n).id for n in names]
    geoms = np.flatnonzero(np.isin(model.geom_bodyid, bodies) & (model.geom_group < 3))
    for seed in SEEDS:
        task.reset(seed)
        if task.spec.name.startswith("arm"):  # the hand would hide a part
            task._data.joint("peg").qpos[:2] = 0.2, 0.25
            mujoco.mj_forward(model, task._data)
        seen = np.isin(geom_ids(task), geoms)
        shapes = [outline(task, geom, task.camera_fovy_rad()) for geom in geoms]
        expected = np.any([drawn(shape) for shape in shapes], axis=0)
        assert (seen & expected).sum() > 0.85 * (seen | expected).sum()
        shifts.append(np.argwhere(seen).mean(0) - np.argwhere(expected).mean(0))
    # The middle of the picture lies between pixels: half a pixel off would show here.
    assert np.abs(np.mean(shifts, axis=0)).max() < 0.1


def test_a_wider_lens_is_published_as_it_is_drawn(task: MujocoTask) -> None:
    scene = Scene(task, make_perturbation("camera_fov=easy", task.spec.name))
    scene.reset(0)
    fovy_rad = scene.observe().fovy_rad
    found = stick_outs(task, fovy_rad)
    task.look = ()
    assert fovy_rad > 1.03 * task.camera_fovy_rad()
    assert found and max(found) < 1.0
