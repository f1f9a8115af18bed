"""The renderer: which backend it chooses, what it labels, and that it leaves without noise."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from samg_ros.errors import SimulationError
from sim_bridge.render import renderer as gl_backend

rendering = pytest.importorskip(
    "sim_bridge.render.renderer", reason="needs the [sim] extra", exc_type=ModuleNotFoundError
)

XML = """
<mujoco>
  <worldbody>
    <camera name="top" pos="0 0 5" fovy="30"/>
    <geom name="floor" type="plane" size="5 5 .1"/>
    <body name="arm" pos="-.8 0 .1">
      <geom size=".3"/>
      <site name="mark" pos="0 0 .4" size=".1"/>
      <body name="tool" pos=".8 0 0">
        <geom size=".2"/>
        <body><geom pos="0 .4 0" size=".2"/></body>
      </body>
    </body>
    <site name="goal" pos=".8 0 .1" size=".2"/>
  </worldbody>
</mujoco>
"""


@pytest.fixture
def headless(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delitem(sys.modules, "mujoco", raising=False)


@pytest.mark.parametrize(
    ("libraries", "expected"), [({"OSMesa", "EGL"}, "osmesa"), ({"EGL"}, "egl")]
)
def test_a_headless_process_takes_what_is_installed(
    headless: None, monkeypatch: pytest.MonkeyPatch, libraries: set[str], expected: str
) -> None:
    monkeypatch.setattr(
        "ctypes.util.find_library", lambda name: name if name in libraries else None
    )
    gl_backend.use_backend()
    assert os.environ["MUJOCO_GL"] == expected


def test_without_a_library_the_package_is_named(
    headless: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
    with pytest.raises(SimulationError, match="libosmesa6"):
        gl_backend.use_backend()


def test_the_users_choice_is_respected(headless: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "egl")
    gl_backend.use_backend()
    assert os.environ["MUJOCO_GL"] == "egl"


def test_a_desktop_is_left_to_mujoco(headless: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    gl_backend.use_backend()
    assert "MUJOCO_GL" not in os.environ


def test_mujoco_imported_first_with_another_backend_is_refused() -> None:
    ran = _run("import mujoco, sim_bridge.render.renderer", without=("MUJOCO_GL", "DISPLAY"))
    assert "before mujoco" in ran.stderr


def test_a_process_that_forgets_to_close_exits_silently() -> None:
    ran = _run(
        "from sim_bridge.task import make_task\n"
        "a, b = make_task('walker_walk', height=32, width=32), make_task('walker_walk')\n"
        "a.reset(0); b.reset(0); a.render(); b.segmentation(); del a; b.render()\n"
        "print('rendered')"
    )
    assert (ran.returncode, ran.stdout.strip(), ran.stderr.strip()) == (0, "rendered", "")


def test_no_context_outlives_egl_whatever_was_imported_first() -> None:
    """gymnasium-robotics registers its own clean-up before mujoco is there; it prints a notice."""
    ran = _run(
        "from sim_bridge.task import make_task\n"
        "make_task('adroit_door', height=32, width=32).close()\n"
        "kept = make_task('walker_walk', height=32, width=32); kept.reset(0); kept.render()"
    )
    assert ran.returncode == 0 and "Traceback" not in ran.stderr


def test_subtrees_and_sites_belong_to_their_target() -> None:
    model = rendering.mujoco.MjModel.from_xml_string(XML)
    data = rendering.mujoco.MjData(model)
    rendering.mujoco.mj_forward(model, data)
    renderer = rendering.TaskRenderer(
        model,
        data,
        bodies={"arm": "arm", "tool": "tool"},
        sites={"goal": "goal"},
        height=90,
        width=90,
        shadows=False,
    )
    try:
        targets = renderer.segmentation("top")
        # Left to right: the arm with its own mark, the tool (and its child, above), the goal.
        assert [targets[45, column] for column in (18, 45, 72)] == [1, 2, 3]
        assert targets[32, 45] == 2
        assert targets[0, 0] == 0
        assert renderer.fovy_rad("top") == pytest.approx(np.pi / 6)
        assert renderer.rgb("top").shape == (90, 90, 3)
    finally:
        renderer.close()


def test_an_empty_picture_is_refused() -> None:
    model = rendering.mujoco.MjModel.from_xml_string(XML)
    data = rendering.mujoco.MjData(model)
    with pytest.raises(SimulationError, match="0 rows"):
        rendering.TaskRenderer(model, data, bodies={}, sites={}, height=0, width=5, shadows=False)


def _run(code: str, without: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name not in without}
    return subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60
    )
