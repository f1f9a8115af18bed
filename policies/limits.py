"""How far joints may be driven: the policy's limits, narrowed by a URDF's and by options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from samg_ros.errors import ConfigError
from samg_ros.robot import PolicySpec

LARGEST_URDF = 16_000_000
"""Bytes; a description with every mesh named is a hundredth of it."""
_ENDLESS = (-np.inf, np.inf)


@dataclass(frozen=True)
class UrdfLimits:
    """What a URDF allows one joint. ``position``: (lower, upper), rad or m; ``velocity``: rad/s or
    m/s; ``effort``: N m or N. What it does not say is infinite."""

    position: tuple[float, float] = _ENDLESS
    velocity: float = np.inf
    effort: float = np.inf


@dataclass(frozen=True)
class Limits:
    """What may be sent to the joints that a policy commands, in their order; each float64 [A].

    ``low``, ``high``: of a command. ``max_rate``: of its change, in its unit a second.
    ``max_acceleration``: of the change's change, a second squared; infinite where there is no
    limit. ``reach_low``, ``reach_high``: rad or m, between which a joint's measured position is
    believed; infinite where it is not known.
    """

    low: np.ndarray
    high: np.ndarray
    max_rate: np.ndarray
    max_acceleration: np.ndarray
    reach_low: np.ndarray
    reach_high: np.ndarray


@dataclass(frozen=True)
class Trust:
    """How far a policy is trusted beyond what its specification and the robot allow.

    :param range_share: share of the policy's range of commands, around its middle, that is used.
    :param max_rate: largest change of a command in a second, in the command's unit a second
        (rad/s of a position, rad/s^2 of a velocity, N m/s of an effort). 0 takes the URDF's
        velocity for positions, or else the policy's whole range in one of its control steps.
    :param max_acceleration: largest change of that, a second squared; 0 sets no limit.
    :param reach_tolerance: share of a joint's range by which a measured position may lie beyond it
        and still be believed.
    """

    range_share: float = 1.0
    max_rate: float = 0.0
    max_acceleration: float = 0.0
    reach_tolerance: float = 0.5


def read_urdf(description: str) -> dict[str, UrdfLimits]:
    """The limits of every joint of a URDF.

    :param description: the XML itself, as the topic ``robot_description`` carries it.
    :raises ConfigError: too long, not a URDF, or a limit that is no number or upside down.
    """
    if len(description) > LARGEST_URDF:
        raise ConfigError(f"the URDF is longer than {LARGEST_URDF:,} characters: it is not read")
    try:
        robot = ElementTree.fromstring(description)
    except (ElementTree.ParseError, ValueError) as error:
        raise ConfigError(f"the URDF cannot be read: {error}") from error
    if robot.tag != "robot":
        raise ConfigError(f"the URDF's root is <{robot.tag[:40]}>, not <robot>")
    return {
        name: _of_joint(name, joint)
        for joint in robot.findall("joint")
        if (name := joint.get("name", "")) and joint.get("type") != "fixed"
    }


def load_urdf(path: Path) -> dict[str, UrdfLimits]:
    """As :func:`read_urdf`, from a file. :raises ConfigError: it cannot be read."""
    try:
        if path.stat().st_size > LARGEST_URDF:
            raise ConfigError(f"{path} is larger than {LARGEST_URDF:,} bytes: no URDF is")
        return read_urdf(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"the URDF {path} cannot be read: {error}") from error


def limits_of(
    spec: PolicySpec, trust: Trust, urdf: Mapping[str, UrdfLimits] | None = None
) -> Limits:
    """What a policy may send.

    :param urdf: of the robot, by joint; joints that it does not name keep the policy's limits.
    :raises ConfigError: nothing is left between the limits.
    """
    joints = [(urdf or {}).get(name, UrdfLimits()) for name in spec.actuated_joints]
    low, high = np.asarray(spec.command_low, float), np.asarray(spec.command_high, float)
    full = high - low
    middle, half = (low + high) / 2, full / 2 * trust.range_share
    least, most = _allowed(spec, joints)
    # Half and middle are rounded: the policy's own limits are named once more.
    low, high = np.maximum(low, middle - half), np.minimum(high, middle + half)
    low, high = np.maximum(low, least), np.minimum(high, most)
    if (empty := np.flatnonzero(low > high)).size:
        name = spec.actuated_joints[empty[0]]
        raise ConfigError(
            f"nothing is left of joint {name}'s range: the policy commands {middle[empty[0]]:.4g} "
            f"+- {half[empty[0]]:.4g}, the URDF allows {least[empty[0]]:.4g} to "
            f"{most[empty[0]]:.4g}"
        )
    slowest = full / spec.control_dt_s
    if spec.command_mode == "position":
        speeds = np.array([joint.velocity for joint in joints])
        slowest = np.where(np.isfinite(speeds), speeds, slowest)
    rate = np.minimum(trust.max_rate, slowest) if trust.max_rate else slowest
    reach_low, reach_high = _reach(spec, joints, trust.reach_tolerance)
    return Limits(
        low, high, rate, np.full(len(low), trust.max_acceleration or np.inf), reach_low, reach_high
    )


def _allowed(spec: PolicySpec, joints: list[UrdfLimits]) -> tuple[np.ndarray, np.ndarray]:
    """The robot's own limits of what is commanded, float64 [A] each."""
    if spec.command_mode == "position":
        pairs = np.array([joint.position for joint in joints])
        return pairs[:, 0], pairs[:, 1]
    most = np.array([getattr(joint, spec.command_mode) for joint in joints])
    return -most, most


def _reach(
    spec: PolicySpec, joints: list[UrdfLimits], tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Between which a measured position is believed, float64 [A] each."""
    low, high = np.array([joint.position for joint in joints]).T.copy()
    if spec.command_mode == "position":
        low = np.where(np.isfinite(low), low, spec.command_low)
        high = np.where(np.isfinite(high), high, spec.command_high)
    width = np.where(np.isfinite(high - low), high - low, 0.0)
    with np.errstate(over="ignore"):
        beyond = width * tolerance
    return low - beyond, high + beyond


def _of_joint(name: str, joint: ElementTree.Element) -> UrdfLimits:
    limit = joint.find("limit")
    if limit is None:
        return UrdfLimits()

    def number(key: str, default: float) -> float:
        text = limit.get(key)
        try:
            value = default if text is None else float(text)
        except ValueError:
            value = np.nan
        if np.isnan(value):
            raise ConfigError(f"the URDF's joint {name[:60]}: {key} is {text!r:.60}, not a number")
        return value

    velocity, effort = number("velocity", np.inf), number("effort", np.inf)
    # A continuous joint has no lower and upper limit; for others 0 stands where none is given.
    ends = joint.get("type") != "continuous"
    lower, upper = (number("lower", 0.0), number("upper", 0.0)) if ends else _ENDLESS
    if lower > upper or velocity < 0 or effort < 0:
        raise ConfigError(f"the URDF's joint {name[:60]}: its limits are upside down")
    return UrdfLimits((lower, upper), velocity, effort)
