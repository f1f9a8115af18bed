"""Reading a recorded run back: its frames and episodes, by stamp."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from samg_ros.io.bags import messages, open_reader

NS_PER_S = 1_000_000_000


class Recording:
    """A bag, opened for reading; a context manager.

    :raises BagError: no bag there, or one that was not finished.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader = open_reader(path)

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *exception: object) -> None:
        self._reader.close()

    def counts(self) -> dict[str, int]:
        """Messages by topic."""
        return {topic: info.msgcount for topic, info in self._reader.topics.items()}

    def messages(self, *topics: str) -> Iterator[tuple[str, int, Any]]:
        """(topic, time of receipt in ns, message) of some topics, in order of receipt."""
        wanted = [c for c in self._reader.connections if c.topic in topics]
        for connection, received_ns, raw in messages(self._reader, self._path, wanted):
            message = self._reader.deserialize(raw, connection.msgtype)
            yield connection.topic, received_ns, message

    def groups(self, *topics: str) -> Iterator[tuple[int, dict[str, object]]]:
        """(stamp in ns, topic -> message) for stamps that occur on all the topics, in order.

        A message that is there twice (sent again) counts once.
        """
        waiting: dict[int, dict[str, object]] = {}
        given: set[int] = set()
        for topic, _, message in self.messages(*topics):
            stamp = stamp_ns(message)
            if stamp in given:
                continue
            waiting.setdefault(stamp, {})[topic] = message
            if len(waiting[stamp]) == len(topics):
                given.add(stamp)
                yield stamp, waiting.pop(stamp)


def stamp_ns(message) -> int:
    """The header's stamp."""
    return message.header.stamp.sec * NS_PER_S + message.header.stamp.nanosec


def pixels(message) -> np.ndarray:
    """This package's own images: rgb8 as uint8 [H, W, 3], mono8 as uint8 [H, W]."""
    shape = (message.height, message.width, 3)
    return message.data.reshape(shape if message.encoding == "rgb8" else shape[:2])


RAW = "/image_raw"
CAMERA_INFO = "/camera_info"
JOINT_STATES = "/joint_states"
COMMAND = "/joint_command"
CLOCK = "/clock"
TRUTH = "/bridge/mask_truth"
EPISODE = "/bridge/episode"
MASKED = "/masker/image"
MASK = "/masker/mask"
DIAGNOSTICS = "/diagnostics"

RECORDED = (
    RAW,
    CAMERA_INFO,
    JOINT_STATES,
    COMMAND,
    CLOCK,
    TRUTH,
    EPISODE,
    MASKED,
    MASK,
    DIAGNOSTICS,
)
