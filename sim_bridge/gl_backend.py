"""Chooses MuJoCo's OpenGL backend. MuJoCo reads ``MUJOCO_GL`` once, when it is first imported."""

from __future__ import annotations

import ctypes.util
import os
import sys

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
            f"import sim_bridge.rendering before mujoco, or set MUJOCO_GL={backend} at the start"
        )
