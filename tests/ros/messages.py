"""Image messages as tests make and read them, from topics and from bags."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from mcap.exceptions import McapError
from mcap.reader import NonSeekingReader
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from samg_ros.ros.images import from_rgb
from samg_ros.ros.qos import from_ns, to_ns

T = TypeVar("T")


def on_disk(bag: Path) -> Counter[str]:
    """Messages by topic, as far as an unfinished file can be read."""
    counts: Counter[str] = Counter()
    for path in bag.glob("*.mcap"):
        with path.open("rb") as file:
            try:
                for _, channel, _ in NonSeekingReader(file).iter_messages(log_time_order=False):
                    counts[channel.topic] += 1
            except McapError:
                pass  # the end of what is written
    return counts


def picture(height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    """Noise, uint8 [H, W, 3]: no two pixels are likely the same."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def image(rgb: np.ndarray, stamp_ns: int, frame_id: str = "camera") -> Image:
    """An rgb8 message."""
    return from_rgb(rgb, Header(stamp=from_ns(stamp_ns), frame_id=frame_id))


def pixels(msg: Image) -> np.ndarray:
    """This package's own images: rgb8 as uint8 [H, W, 3], mono8 as uint8 [H, W]."""
    shape = (msg.height, msg.width, 3) if msg.encoding == "rgb8" else (msg.height, msg.width)
    return np.frombuffer(msg.data, np.uint8).reshape(shape)


def with_stamp(messages: Iterable[T], stamp_ns: int) -> list[T]:
    """Those messages that carry a stamp."""
    return [msg for msg in messages if to_ns(msg.header.stamp) == stamp_ns]


def stamps(messages: Iterable[Any]) -> list[int]:
    """The messages' stamps, ns."""
    return [to_ns(msg.header.stamp) for msg in messages]
