"""Where foreign data enters: what is mutated, how it is read, and what a right reading may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from policies.checkpoints import shipped
from policies.limits import read_urdf
from policies.registry import load_policy
from samg_ros import images
from samg_ros.masking.reference import Reference
from samg_ros.recorded.bag import IMAGE, serialized
from samg_ros.recorded.kinds import open_input
from samg_ros.ros.joints import JointHistory, msg_to_command
from sim_bridge.perturbations.grammar import make_perturbation, parse

_TYPES, _JOINT_STATE = get_typestore(Stores.ROS2_KILTED), "sensor_msgs/msg/JointState"
URDF = b"""<robot name="r"><joint name="a" type="revolute"><limit lower="-1" upper="1" velocity="2"
effort="3"/></joint><joint name="b" type="continuous"/></robot>"""
TEXTS = (
    "none",
    "photos",
    "camera_pose=hard@7",
    "light_color=easy,object_color=medium@3",
    "video_hard=~nouser/x",
    "photos@" + "9" * 5000,
    "video_hard=" + "x" * 5000,
    "color_hard=\ud800".encode("utf-8", "surrogatepass").decode("utf-8", "replace"),
    "noise@1,noise@2",
)


@dataclass(frozen=True)
class Boundary:
    """``seeds``: inputs that are mutated, made in a folder. ``read``: takes one, and tells what is
    wrong with what it read, or nothing."""

    seeds: Callable[[Path], list[bytes]]
    read: Callable[[bytes, Path], str]


def _references(folder: Path) -> list[bytes]:
    rgb, mask = np.zeros((32, 32, 3), np.uint8), np.zeros((32, 32), bool)
    mask[8:20, 8:20] = True
    path = folder / "seed.npz"
    Reference.from_masks(rgb, {"cup": mask}).save(path)
    return [path.read_bytes()]


def _read_reference(data: bytes, folder: Path) -> str:
    path = folder / "x.npz"
    path.write_bytes(data)
    found = Reference.load(path)
    return "" if all(name.isprintable() for name in found.names) else "a name that is no text"


def _checkpoints(_: Path) -> list[bytes]:
    return [shipped()["cartpole_swingup"].read_bytes()]


def _read_checkpoint(data: bytes, folder: Path) -> str:
    path = folder / "x.safetensors"
    path.write_bytes(data)
    spec = load_policy(str(path), "cartpole_swingup").spec
    return "" if np.isfinite([spec.command_low, spec.command_high]).all() else "limits"


def _pictures(_: Path) -> list[bytes]:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (24, 32, 3), np.uint8)
    found = [cv2.imencode(kind, rgb)[1].tobytes() for kind in (".png", ".jpg", ".bmp", ".tif")]
    return [*found, cv2.imencode(".png", rgb[..., 0])[1].tobytes()]


def _read_picture(data: bytes, _: Path) -> str:
    rgb = images.decode(data)
    fine = rgb.dtype == np.uint8 and rgb.ndim == 3 and rgb.shape[2] == 3 and rgb.size
    return "" if fine else f"{rgb.dtype} {rgb.shape}"


def _texts(_: Path) -> list[bytes]:
    return [text.encode() for text in TEXTS]


def _read_text(data: bytes, _: Path) -> str:
    text = data.decode("utf-8", "surrogateescape")
    terms = parse(text)
    make_perturbation(text, "adroit_door")
    return (
        "" if terms == parse(",".join(map(str, terms)) or "none") else "it reads otherwise again"
    )


def _urdfs(_: Path) -> list[bytes]:
    return [URDF]


def _read_urdf(data: bytes, _: Path) -> str:
    for name, limits in read_urdf(data.decode("utf-8", "replace")).items():
        if np.isnan([*limits.position, limits.velocity, limits.effort]).any():
            return f"limits of {name}"
    return ""


def _joint_states(_: Path) -> list[bytes]:
    stamp = _TYPES.types["builtin_interfaces/msg/Time"](1, 2)
    header = _TYPES.types["std_msgs/msg/Header"](stamp, "base")
    names, positions = ["shoulder", "elbow", "wrist"], np.array([0.1, 0.2, 0.3])
    message = _TYPES.types[_JOINT_STATE](header, names, positions, positions, positions)
    return [bytes(_TYPES.serialize_cdr(message, _JOINT_STATE))]


def _read_joint_state(data: bytes, _: Path) -> str:
    """By rosbags' reading of the bytes: rclpy's own, in C, may end the process."""
    try:
        msg: Any = _TYPES.deserialize_cdr(data, _JOINT_STATE)
    except Exception:  # what cannot be read never reaches a callback
        return ""
    history = JointHistory(["elbow", "wrist"], 1.0, 0.1)
    told = history.add(0, msg)
    at = history.at(0)
    if told and at is not None and not np.isfinite(at).all():
        return "a position that is no number"
    msg_to_command(msg, ("shoulder", "elbow", "wrist"), "position")
    return ""


def _bags(folder: Path) -> list[bytes]:
    class Header:
        class stamp:  # noqa: N801
            sec, nanosec = 1, 2

        frame_id = "camera"

    place = folder / "seed_bag"
    with Writer(place, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        topic = writer.add_connection("/image", IMAGE, typestore=_TYPES)
        for number in range(3):
            rgb = np.full((8, 8, 3), number, np.uint8)
            writer.write(topic, number, serialized(rgb, "rgb8", Header()))
    return [next(place.glob("*.mcap")).read_bytes()]


def _read_bag(data: bytes, folder: Path) -> str:
    path = folder / "x.mcap"
    path.write_bytes(data)
    for frame in open_input(path).frames():
        if frame.rgb is not None and frame.rgb.shape[-1] != 3:
            return str(frame.rgb.shape)
    return ""


BOUNDARIES: dict[str, Boundary] = {
    "bags": Boundary(_bags, _read_bag),
    "checkpoints": Boundary(_checkpoints, _read_checkpoint),
    "joint_states": Boundary(_joint_states, _read_joint_state),
    "perturbations": Boundary(_texts, _read_text),
    "pictures": Boundary(_pictures, _read_picture),
    "references": Boundary(_references, _read_reference),
    "urdfs": Boundary(_urdfs, _read_urdf),
}
