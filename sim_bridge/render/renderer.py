"""The one way every task is rendered: ``mujoco.Renderer`` on the task's own model and data."""

from __future__ import annotations

import atexit
import ctypes.util
import math
import os
import sys
import threading
import weakref
from collections.abc import Mapping

import numpy as np

from samg_ros.errors import SimulationError

_HEADLESS_BACKENDS = (("osmesa", "OSMesa"), ("egl", "EGL"))


def use_backend() -> None:
    """Set ``MUJOCO_GL`` for this process; call it before anything imports mujoco.

    A value the user has set is respected. On a headless Linux machine OSMesa comes first: it
    renders the same bits everywhere, and unlike EGL from any thread.

    :raises SimulationError: no headless backend is installed, or mujoco was imported earlier with
        a backend that cannot render here.
    """
    backend = os.environ.get("MUJOCO_GL", "").strip().lower()
    if not backend and _is_headless():
        backend = os.environ["MUJOCO_GL"] = _installed_backend()
    if backend and "mujoco" in sys.modules:
        _check_loaded(backend)


def _is_headless() -> bool:
    has_display = "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    return sys.platform == "linux" and not has_display


def _installed_backend() -> str:
    for backend, library in _HEADLESS_BACKENDS:
        if ctypes.util.find_library(library):
            return backend
    raise SimulationError(
        "no display and no off-screen OpenGL library: install libosmesa6 (software rendering) "
        "or libegl1 with libgl1 (GPU), for example `apt-get install libosmesa6`"
    )


def _check_loaded(backend: str) -> None:
    context = getattr(sys.modules["mujoco"], "GLContext", None)
    loaded = context.__module__.rpartition(".")[2] if context else "none"
    if backend in ("osmesa", "egl") and loaded != backend:
        raise SimulationError(
            f"mujoco was imported with the OpenGL backend {loaded!r} but {backend!r} is needed: "
            "import sim_bridge.render.renderer before mujoco, or set "
            f"MUJOCO_GL={backend} at the start"
        )


use_backend()

import mujoco

from sim_bridge.render.parts import Part
from sim_bridge.render.stage import Edit, Paints, Stage

# Near the far plane the depth buffer's rounding is this coarse.
_FARTHEST = 0.99


class TaskRenderer:
    """RGB, depth and target ids of one model, at one size, from any of its cameras.

    Several renderers, of any size, may live in one process: each makes its own OpenGL context
    current before it draws and before it is closed. Render and close in the thread that made it;
    only with OSMesa may another thread do so, one at a time.

    :param bodies: target name -> body; the body's subtree belongs to the target, except for
        parts that are another target's body. The order gives the ids, from 1.
    :param sites: target name -> site that stands for it where the model has no body (a goal
        marker); these ids follow those of ``bodies``.
    :param shadows: render shadows and reflections with the model's own anti-aliasing. They take
        most of the time: off is 10 times faster with OSMesa.
    :raises SimulationError: the OpenGL context cannot be made.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        *,
        bodies: Mapping[str, str],
        sites: Mapping[str, str],
        height: int,
        width: int,
        shadows: bool,
    ) -> None:
        self._model, self._data = model, data
        self._target_of = _label_objects(model, bodies, sites)
        self.cameras = tuple(model.camera(i).name for i in range(model.ncam))
        self._renderer = _make_renderer(model, height, width, shadows)
        # Renderer keeps its context to itself, but only there can a texture be replaced.
        paints = Paints(model, self._renderer._mjr_context)
        self._stage = Stage(model, data, self._renderer.scene, paints, tuple(bodies.values()))
        self.look: tuple[Edit, ...] = ()
        """What changes every picture, in this order; see ``sim_bridge.perturbations``."""
        self._thread = threading.get_ident()
        # Also runs when the task is dropped unclosed and at exit. There weakref's own hook may
        # be older than mujoco's, and run after mujoco has ended EGL; this one is younger.
        self._finalizer = weakref.finalize(self, _close_renderer, self._renderer, paints)
        self._finalizer.atexit = False
        atexit.register(self._finalizer)

    def rgb(self, camera: str) -> np.ndarray:
        """:return: uint8 [H, W, 3]. :raises SimulationError: unknown camera, or closed."""
        self._look_from(camera)
        return self._renderer.render()

    def depth(self, camera: str) -> np.ndarray:
        """Distance along the camera's axis; infinite where nothing is, or beyond the far plane.

        :return: float32 [H, W], m. :raises SimulationError: as :meth:`rgb`.
        """
        self._look_from(camera)
        self._renderer.enable_depth_rendering()
        depth = self._renderer.render()
        self._renderer.disable_depth_rendering()
        far = self._model.vis.map.zfar * self._model.stat.extent
        depth[depth > _FARTHEST * far] = np.inf
        return depth

    def segmentation(self, camera: str) -> np.ndarray:
        """:return: uint8 [H, W], 0 or a target's id. :raises SimulationError: as :meth:`rgb`."""
        object_id, object_type = self._objects(camera)
        targets = np.zeros(object_id.shape, np.uint8)
        for kind, table in self._target_of.items():
            hit = object_type == kind
            targets[hit] = table[object_id[hit]]
        return targets

    def backdrop(self, camera: str, beyond: Part) -> np.ndarray:
        """Where there is nothing, or one of the geoms of ``beyond``.

        :return: bool [H, W]. :raises SimulationError: as :meth:`rgb`.
        """
        object_id, object_type = self._objects(camera)
        is_geom = object_type == mujoco.mjtObj.mjOBJ_GEOM
        return (object_id < 0) | is_geom & np.isin(object_id, beyond.geom_ids(self._model))

    def fovy_rad(self, camera: str) -> float:
        """:return: vertical field of view. :raises SimulationError: unknown camera, or closed."""
        self._check_camera(camera)
        if not self.look:
            return math.radians(self._model.camera(camera).fovy.item())
        self._look_from(camera)
        seen = self._renderer.scene.camera[0]
        return 2 * math.atan2(seen.frustum_top - seen.frustum_bottom, 2 * seen.frustum_near)

    def close(self) -> None:
        """Free the OpenGL context; closing twice does nothing."""
        self._finalizer()
        atexit.unregister(self._finalizer)

    def _objects(self, camera: str) -> tuple[np.ndarray, np.ndarray]:
        """What is seen. :return: ids and ``mjtObj`` types, int32 [H, W] each, -1 for nothing."""
        self._look_from(camera)
        self._renderer.enable_segmentation_rendering()
        object_id, object_type = np.moveaxis(self._renderer.render(), -1, 0)
        self._renderer.disable_segmentation_rendering()
        return object_id, object_type

    def _look_from(self, camera: str) -> None:
        self._check_camera(camera)
        if not self._finalizer.alive:
            raise SimulationError("the task is closed; make a new one to render it")
        if self._thread != threading.get_ident() and os.environ.get("MUJOCO_GL") != "osmesa":
            raise SimulationError(
                "a task can only be rendered in the thread that made it, where its OpenGL context "
                "lives; make it in this thread, or set MUJOCO_GL=osmesa"
            )
        self._renderer.update_scene(self._data, camera)
        self._stage.begin(camera)
        for edit in self.look:
            edit.apply(self._stage)

    def _check_camera(self, camera: str) -> None:
        if camera not in self.cameras:
            choices = ", ".join(self.cameras)
            raise SimulationError(f"unknown camera {camera!r}; choose one of: {choices}")


class _Process:
    """``was_forked``: after a context of OpenGL had been made, which no fork survives."""

    has_rendered = was_forked = False


def _after_fork() -> None:
    _Process.was_forked = _Process.has_rendered


os.register_at_fork(after_in_child=_after_fork)


def _make_renderer(
    model: mujoco.MjModel, height: int, width: int, shadows: bool
) -> mujoco.Renderer:
    if _Process.was_forked:
        raise SimulationError(
            "this process was forked from one that had rendered, and OpenGL hangs then: start "
            "workers by 'spawn', as sim_bridge.make_vector does (gymnasium's own vectors: "
            'vector_kwargs={"context": "spawn"})'
        )
    if min(height, width) < 1:
        raise SimulationError(f"image size must be positive, got {height} rows x {width} columns")
    # The model's default buffer limits the size (dm_control: 640x480) or wastes memory (Adroit).
    model.vis.global_.offheight, model.vis.global_.offwidth = height, width
    if not shadows:
        model.vis.quality.shadowsize = 0
        model.vis.quality.offsamples = 0
    _Process.has_rendered = True
    try:
        renderer = mujoco.Renderer(model, height, width)
    except Exception as error:  # each backend raises its own kind
        raise SimulationError(
            f"cannot render {height}x{width} with OpenGL: {error}; set MUJOCO_GL=osmesa "
            "(package libosmesa6) or MUJOCO_GL=egl (packages libegl1, libgl1)"
        ) from error
    renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = shadows
    renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = shadows
    return renderer


def _close_renderer(renderer: mujoco.Renderer, paints: Paints) -> None:
    # Renderer.close frees its objects in whatever context is current, so with two renderers it
    # destroys the other's (seen as segmentation ids out of bounds). Drawing once is the public
    # way to make its own context current.
    renderer.render()
    paints.free()
    renderer.close()


def _label_objects(
    model: mujoco.MjModel, bodies: Mapping[str, str], sites: Mapping[str, str]
) -> dict[int, np.ndarray]:
    """Object type -> target id of every object of that type, uint8 [number of objects]."""
    id_of_body = {model.body(body).id: i for i, body in enumerate(bodies.values(), start=1)}
    body_targets = np.zeros(model.nbody, np.uint8)
    for body in range(1, model.nbody):  # parents come before their children
        body_targets[body] = id_of_body.get(body, body_targets[model.body_parentid[body]])
    site_targets = body_targets[model.site_bodyid]
    for i, site in enumerate(sites.values(), start=len(bodies) + 1):
        site_targets[model.site(site).id] = i
    return {
        int(mujoco.mjtObj.mjOBJ_GEOM): body_targets[model.geom_bodyid],
        int(mujoco.mjtObj.mjOBJ_SITE): site_targets,
    }
