"""Small recordings, and a masker that needs no weights: red is the target."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import torch
from rosbags.interfaces import Qos
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from samg_ros import cli
from samg_ros.masking.parts import part_points
from samg_ros.masking.reference import Reference, Target, View
from samg_ros.masking.result import FOUND, LOST, MaskBatch

SIZE = (48, 64)
BACKGROUND = (20, 60, 120)
RED = (230, 20, 20)


def frame(index: int, size: tuple[int, int] = SIZE, visible: bool = True) -> np.ndarray:
    """A red square that moves to the right with the index, uint8 [H, W, 3]."""
    rgb = np.full((*size, 3), BACKGROUND, np.uint8)
    if visible:
        rgb[10:30, 4 + 3 * index : 20 + 3 * index] = RED
    return rgb


def red(rgb: np.ndarray) -> np.ndarray:
    """Where the square is, bool [H, W]; codecs may have changed the colours a little."""
    return rgb[..., 0].astype(int) > 150


def write_reference(path: Path) -> Path:
    rgb = frame(0)
    mask = red(rgb)
    Reference((View(rgb, (Target("square", mask, part_points(mask, 2)),)),)).save(path)
    return path


def write_video(path: Path, frames: list[np.ndarray], fps: float = 10.0) -> Path:
    height, width = frames[0].shape[:2]
    fourcc = cv2.VideoWriter.fourcc(*"vp09")
    writer = cv2.VideoWriter(str(path), fourcc, fps, (width, height))
    for rgb in frames:
        writer.write(rgb[..., ::-1])
    writer.release()
    return path


class RedMasker:
    """Stands in for SamgMasker: finds what is red, batch by batch.

    :param stop_after: raises ``stop`` instead of masking once so many batches are done.
    """

    device = torch.device("cpu")
    target_names = ("square",)

    def __init__(self, stop_after: int = 10**9, stop: type[BaseException] = KeyboardInterrupt):
        self.batches: list[tuple[int, ...]] = []
        self._stop_after, self._stop = stop_after, stop

    def __call__(self, images: torch.Tensor) -> MaskBatch:
        if len(self.batches) >= self._stop_after:
            raise self._stop
        self.batches.append(tuple(images.shape))
        mask = images[..., 0] > 150
        status = torch.where(mask.flatten(1).any(1), FOUND, LOST).to(torch.int8)[:, None]
        scores = torch.where(status == FOUND, 0.9, 0.1)
        points = torch.full((len(images), 1, 2, 2), 0.5)
        labels = torch.tensor([1, 0], dtype=torch.int).expand(len(images), 1, 2)
        rgb = images * mask[..., None]
        return MaskBatch(rgb, mask, mask[:, None], scores, scores, status, points, labels)


def mask(source: Path, reference: Path, out: Path, *more: str) -> int:
    return cli.main(["mask", str(source), "--reference", str(reference), "--out", str(out), *more])


def lines(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "scores.jsonl").read_text().splitlines()]


def png(path: Path) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, by relative path."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


class Messages:
    """Builds and writes a bag with messages of several kinds, without ROS."""

    def __init__(self, path: Path, storage: StoragePlugin = StoragePlugin.MCAP) -> None:
        self.store = get_typestore(Stores.ROS2_HUMBLE)
        self.store.register(get_types_from_msg("float64 grams\nstring cup", "shop/msg/Weight"))
        self._writer = Writer(path, version=9, storage_plugin=storage)
        self._writer.open()
        self._topics: dict[str, tuple] = {}

    def write(self, topic: str, msgtype: str, received_ns: int, message, qos: list[Qos]) -> None:
        if topic not in self._topics:
            self._topics[topic] = self._writer.add_connection(
                topic, msgtype, typestore=self.store, offered_qos_profiles=qos
            )
        data = self.store.serialize_cdr(message, msgtype)
        self._writer.write(self._topics[topic], received_ns, data)

    def close(self) -> None:
        self._writer.close()

    def header(self, stamp_ns: int):
        types = self.store.types
        stamp = types["builtin_interfaces/msg/Time"](*divmod(stamp_ns, 10**9))
        return types["std_msgs/msg/Header"](stamp=stamp, frame_id="camera")

    def image(self, rgb: np.ndarray, stamp_ns: int, padding: int = 0):
        """``bgr8`` with padded rows."""
        height, width = rgb.shape[:2]
        rows = np.pad(rgb[..., ::-1].reshape(height, -1), ((0, 0), (0, padding)))
        return self.store.types["sensor_msgs/msg/Image"](
            header=self.header(stamp_ns),
            height=height,
            width=width,
            encoding="bgr8",
            is_bigendian=0,
            step=rows.shape[1],
            data=np.ascontiguousarray(rows).reshape(-1),
        )

    def compressed(self, rgb: np.ndarray, stamp_ns: int):
        data = cv2.imencode(".png", rgb[..., ::-1])[1].reshape(-1)
        return self.store.types["sensor_msgs/msg/CompressedImage"](
            header=self.header(stamp_ns), format="bgr8; png compressed bgr8", data=data
        )

    def weight(self, grams: float):
        return self.store.types["shop/msg/Weight"](grams=grams, cup="blue")
