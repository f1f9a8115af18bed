"""The Franka Panda, from the model inside gymnasium-robotics, made to match the real one.

The shipped model (Apache-2.0) turns the zero of joints 6 and 7, narrows the limits of joint 4 and
has longer fingers for a kitchen; here zeros, limits and fingers are the manufacturer's again, so
that ``joint_states`` and ``joint_command`` mean what they mean on a real Panda.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from samg_ros.errors import SimulationError

ARM_JOINTS = tuple(f"panda_joint{i}" for i in range(1, 8))
FINGER_JOINTS = ("panda_finger_joint1", "panda_finger_joint2")
FINGERS = ("panda_leftfinger", "panda_rightfinger")
TCP = "panda_hand_tcp"
"""The site between the fingertips: x along the hand's narrow side, y where the left finger is, z
where the gripper points."""

ARM_LIMITS = (
    (-2.8973, 2.8973),
    (-1.7628, 1.7628),
    (-2.8973, 2.8973),
    (-3.0718, -0.0698),
    (-2.8973, 2.8973),
    (-0.0175, 3.7525),
    (-2.8973, 2.8973),
)
"""Joint limits of the arm, rad."""
FINGER_LIMITS = (0.0, 0.04)
"""How far a finger is from the middle, m."""

ARM_SPEEDS = (2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61)
FINGER_SPEED = 0.2
"""The real robot's greatest speeds, rad/s and m/s."""

TIMESTEP_S = 0.002
STIFF = (2 * TIMESTEP_S, 1.0)
"""``solref`` of what must hold firmly, the stiffest that is stable. ManiSkill3 steps PhysX at
100 Hz; in MuJoCo the fingers then lose the peg nine times of ten, and never at 500 Hz."""

# ManiSkill3's drives: N m / rad and N m s / rad, for a finger N/m and N s/m. It limits their
# torque to 100 N m; here the limit is what gives the joint its greatest speed.
_STIFFNESS, _DAMPING = 1000.0, 100.0
ARM_LAG_S = _DAMPING / _STIFFNESS
"""How long a joint takes for two thirds of the way to its target."""
# Of the drives' rotors, kg m2 and kg. The shipped model has none for the arm; without, a target
# that jumps jerks the light wrist so hard that the fingers lose the peg.
_ARMATURE, _FINGER_ARMATURE = 0.1, 1.0

# ManiSkill3's fingers have friction 2, all else 0.3: PhysX takes the mean, MuJoCo the greater.
_FINGER_FRICTION = (1.15, 0.005, 0.0001)
# Boxes of the left finger's collision shape in its own frame: half size, position, tilt about x.
_FINGER_BOXES = (
    ((0.011, 0.0075, 0.01), (0, 0.0185, 0.011), 0.0),
    ((0.011, 0.0044, 0.0019), (0, 0.0068, 0.0022), 0.0),
    ((0.00875, 0.0035, 0.01175), (0, 0.0159, 0.02835), np.pi / 6),
    ((0.00875, 0.0071, 0.00925), (0, 0.00808, 0.04525), 0.0),
)
# In front of the last box, which is the fingertip, its corners: MuJoCo's contacts of two flat
# faces come and go from step to step, those of spheres with a face do not.
_PAD_RADIUS, _PAD_HEIGHT, _PAD_CORNER = 0.003, 0.04525, (-0.006, 0.006)
_PAD_SPHERES = tuple((x, _PAD_RADIUS, _PAD_HEIGHT + z) for x in _PAD_CORNER for z in _PAD_CORNER)
_ASSETS = Path("envs", "assets", "kitchen_franka", "franka_assets")


def panda_spec() -> Any:
    """The robot at the origin, with position drives on its seven joints and its gripper.

    Gravity is compensated, as the real arm does, and the fingers are coupled, as the real ones.

    :return: ``mujoco.MjSpec``, to be added to and compiled.
    :raises SimulationError: gymnasium-robotics ships no such model.
    """
    import mujoco

    folder = _shipped_folder()
    spec = mujoco.MjSpec.from_string(
        f"""<mujoco model="panda">
          <include file="{folder / "assets.xml"}"/>
          <worldbody><include file="{folder / "chain.xml"}"/></worldbody>
        </mujoco>"""
    )
    for mesh in spec.meshes:
        mesh.file = str(folder.joinpath("meshes", *Path(mesh.file).parts[-2:]))
    _correct_arm(spec)
    _correct_hand(spec)
    for body in spec.bodies[1:]:
        body.gravcomp = 1
    return spec


def _shipped_folder() -> Path:
    # Found without its import, which registers and warns of environments that are not used here.
    package = find_spec("gymnasium_robotics")
    folder = Path(package.origin).parent / _ASSETS if package and package.origin else None
    if folder is None or not (folder / "chain.xml").is_file():
        raise SimulationError(
            f"no Panda model in {folder or 'gymnasium-robotics, which is not installed'}: "
            "install the [sim] extra, `pip install '.[sim]'`"
        )
    return folder


def _correct_arm(spec: Any) -> None:
    for i, (limits, speed) in enumerate(zip(ARM_LIMITS, ARM_SPEEDS, strict=True)):
        joint = spec.joint(f"robot:panda0_joint{i + 1}")
        joint.name, joint.range, joint.armature = ARM_JOINTS[i], limits, _ARMATURE
        _add_drive(spec, joint, speed)
    quarter_turn_about_x = (np.sqrt(0.5), np.sqrt(0.5), 0, 0)
    for name in ("panda0_link6", "panda0_link7"):
        spec.body(name).alt.type = 0
        spec.body(name).quat = quarter_turn_about_x
    for geom in spec.geoms:
        _set_collision(geom, collides=geom.contype > 0)


def _correct_hand(spec: Any) -> None:
    import mujoco

    for mesh in ("finger_viz", "finger_col"):
        spec.mesh(mesh).scale = (1, 1, 1)
    tcp = spec.site("end_effector")
    tcp.name, tcp.pos, tcp.group = TCP, (0, 0, 0.2104), 5
    for i, (name, side) in enumerate(zip(FINGERS, (1, -1), strict=True), start=1):
        joint = spec.joint(f"robot:panda0_finger_joint{i}")
        joint.name, joint.range = FINGER_JOINTS[i - 1], FINGER_LIMITS
        joint.armature, joint.damping = _FINGER_ARMATURE, _damping_of(joint)
        finger = spec.body(name.replace("panda", "panda0"))
        finger.name = name
        for geom in finger.geoms:
            if geom.type != mujoco.mjtGeom.mjGEOM_MESH:
                spec.delete(geom)
        _add_finger_shape(finger, side)
    # One drive for both, with the strength of ManiSkill3's two.
    _add_drive(spec, spec.joint(FINGER_JOINTS[0]), FINGER_SPEED, fingers=2)
    coupling = spec.add_equality(
        type=mujoco.mjtEq.mjEQ_JOINT, name1=FINGER_JOINTS[1], name2=FINGER_JOINTS[0]
    )
    coupling.objtype = mujoco.mjtObj.mjOBJ_JOINT
    coupling.data[:5] = (0, 1, 0, 0, 0)
    coupling.solref = STIFF


def _add_finger_shape(finger: Any, side: int) -> None:
    import mujoco

    kinds = mujoco.mjtGeom
    geoms = [
        finger.add_geom(
            type=kinds.mjGEOM_BOX,
            size=half_size,
            pos=(x, side * y, z),
            quat=(np.cos(tilt / 2), side * np.sin(tilt / 2), 0, 0),
        )
        for half_size, (x, y, z), tilt in _FINGER_BOXES
    ] + [
        finger.add_geom(type=kinds.mjGEOM_SPHERE, size=(_PAD_RADIUS, 0, 0), pos=(x, side * y, z))
        for x, y, z in _PAD_SPHERES
    ]
    for geom in geoms:
        geom.friction, geom.condim, geom.margin = _FINGER_FRICTION, 4, 0
        geom.solref, geom.solimp = STIFF, (0.9, 0.95, 0.001, 0.5, 2)
        geom.group = 3
        _set_collision(geom, collides=True)


def _add_drive(spec: Any, joint: Any, speed: float, fingers: int = 1) -> None:
    """A spring to the target; its damper is the joint's own, which is stable at any load."""
    import mujoco

    drive = spec.add_actuator(name=joint.name, target=joint.name)
    drive.trntype = mujoco.mjtTrn.mjTRN_JOINT
    drive.set_to_position(kp=fingers * _STIFFNESS)
    drive.ctrllimited, drive.ctrlrange = True, joint.range
    greatest = fingers * _DAMPING * speed
    drive.forcelimited, drive.forcerange = True, (-greatest, greatest)
    joint.damping = _damping_of(joint)


def _damping_of(joint: Any) -> np.ndarray:
    """MuJoCo's damping is a polynomial in speed; this one is constant."""
    polynomial = np.zeros_like(joint.damping)
    polynomial[0] = _DAMPING
    return polynomial


def _set_collision(geom: Any, *, collides: bool) -> None:
    """The robot touches everything but itself."""
    geom.contype, geom.conaffinity = (2, 1) if collides else (0, 0)
