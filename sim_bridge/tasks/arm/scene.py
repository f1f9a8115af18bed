"""The world of LiftPegUpright: the Panda at a table, a peg of two colours, light and a camera.

Geometry after ManiSkill3 (arXiv 2410.00425), lights and looks like it. The origin is the middle
of the workspace on the table top, x points away from the robot.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sim_bridge.render.renderer import use_backend
from sim_bridge.tasks.arm.panda import STIFF, TIMESTEP_S, panda_spec
from sim_bridge.tasks.arm.state import PEG

CAMERA = "base_camera"
PEG_HALF_LENGTH, PEG_HALF_WIDTH = 0.12, 0.025

_BASE_X = -0.615
_EYE, _LOOKS_AT, _FOVY_DEG = (0.3, 0.0, 0.6), (-0.1, 0.0, 0.1), 90.0
_TABLE_HALF_SIZE, _TABLE_X = (0.6045, 1.209, 0.45982), -0.12
_PEG_MASS = 0.6  # kg: ManiSkill3's density, 1000 kg / m3
_FRICTION = (0.3, 0.005, 0.0001)

_TABLE, _GROUND, _PEG_HALVES = "table", "ground", ("peg_red", "peg_blue")
_COLOURS = {
    _TABLE: (0.60, 0.47, 0.34, 1),
    _PEG_HALVES[0]: (176 / 255, 14 / 255, 14 / 255, 1),
    _PEG_HALVES[1]: (12 / 255, 42 / 255, 160 / 255, 1),
}
_GROUND_COLOURS, _GROUND_TILE_M = ((0.55, 0.55, 0.55), (0.45, 0.45, 0.45)), 1.0
_AMBIENT = 0.5
# Direction and brightness of the lights. ManiSkill3's are physical; these make it look alike.
_LIGHTS = (("light_side", (1, 1, -1), 0.3), ("light_above", (0, 0, -1), 0.35))


def build_arm_scene() -> Any:
    """:return: the compiled ``mujoco.MjModel``. :raises SimulationError: the robot is missing."""
    use_backend()
    import mujoco

    spec = panda_spec()
    spec.modelname = "lift_peg_upright"
    spec.body("panda0_link0").pos = (_BASE_X, 0, 0)
    option = spec.option
    option.timestep = TIMESTEP_S
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    # An elliptic cone with more weight on friction: a held peg does not creep out of the hand.
    option.cone, option.impratio = mujoco.mjtCone.mjCONE_ELLIPTIC, 100
    _add_tiles(spec)
    _add_surroundings(spec)
    _add_peg(spec)
    _add_lights(spec)
    spec.worldbody.add_camera(name=CAMERA, pos=_EYE, quat=look_at(_EYE, _LOOKS_AT), fovy=_FOVY_DEG)
    return spec.compile()


def look_at(eye: Sequence[float], target: Sequence[float]) -> np.ndarray:
    """Which way a camera at ``eye`` is turned that sees ``target`` in its middle, z upward.

    :return: quaternion (w, x, y, z), float64 [4], of MuJoCo's camera frame: x right, y up.
    """
    import mujoco

    backward = np.subtract(eye, target, dtype=float)
    right = np.cross((0, 0, 1), backward)
    axes = np.stack([right, np.cross(backward, right), backward])
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    quat = np.zeros(4)
    mujoco.mju_mat2Quat(quat, axes.T.ravel())
    return quat


def _add_tiles(spec: Any) -> None:
    import mujoco

    light, dark = _GROUND_COLOURS
    spec.add_texture(
        name=_GROUND,
        type=mujoco.mjtTexture.mjTEXTURE_2D,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
        rgb1=light,
        rgb2=dark,
        width=256,
        height=256,
    )
    tiles = spec.add_material(name=_GROUND, texuniform=True)
    tiles.texrepeat = (0.5 / _GROUND_TILE_M,) * 2
    tiles.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = _GROUND


def _add_surroundings(spec: Any) -> None:
    import mujoco

    height = _TABLE_HALF_SIZE[2]
    world = spec.worldbody
    table = world.add_geom(
        name=_TABLE,
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=_TABLE_HALF_SIZE,
        pos=(_TABLE_X, 0, -height),
        rgba=_COLOURS[_TABLE],
    )
    ground = world.add_geom(
        name=_GROUND,
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=(50, 50, 1),
        pos=(0, 0, -2 * height),
        material=_GROUND,
    )
    for geom in (table, ground):
        geom.friction, geom.solref = _FRICTION, STIFF
        geom.contype, geom.conaffinity = 1, 2


def _add_peg(spec: Any) -> None:
    """One box that collides, in front of it two that are seen."""
    import mujoco

    box = mujoco.mjtGeom.mjGEOM_BOX
    width, half = PEG_HALF_WIDTH, PEG_HALF_LENGTH / 2
    peg = spec.worldbody.add_body(name=PEG, pos=(0, 0, width))
    peg.add_freejoint(name=PEG)
    peg.add_geom(
        name=PEG,
        type=box,
        size=(PEG_HALF_LENGTH, width, width),
        mass=_PEG_MASS,
        friction=_FRICTION,
        solref=STIFF,
        contype=3,
        conaffinity=3,
        group=3,
    )
    for name, x in zip(_PEG_HALVES, (-half, half), strict=True):
        peg.add_geom(
            name=name,
            type=box,
            size=(half, width, width),
            pos=(x, 0, 0),
            rgba=_COLOURS[name],
            mass=0,
            contype=0,
            conaffinity=0,
        )


def _add_lights(spec: Any) -> None:
    import mujoco

    head, dark = spec.visual.headlight, (0, 0, 0)
    head.ambient, head.diffuse, head.specular = (_AMBIENT,) * 3, dark, dark
    # With an extent of 1 m these are metres: ManiSkill3's camera sees from 0.01 to 100 m.
    spec.stat.extent, spec.stat.center = 1, (0, 0, 0)
    spec.visual.map.znear, spec.visual.map.zfar = 0.01, 100
    for name, direction, brightness in _LIGHTS:
        spec.worldbody.add_light(
            name=name,
            type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
            pos=-2 * np.array(direction, float),
            dir=direction,
            diffuse=(brightness,) * 3,
            ambient=dark,
            specular=(0.1,) * 3,
        )
