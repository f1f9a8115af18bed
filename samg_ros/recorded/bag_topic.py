"""Frames of one image topic of a bag, read by rosbags: no ROS is needed."""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path

from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.interfaces import Connection
from rosbags.rosbag2 import ReaderError

from samg_ros import images
from samg_ros.errors import BagError, ConfigError, ImageError
from samg_ros.io.bag_reader import messages, open_reader
from samg_ros.recorded.source import NOTHING, Kind, SourceFrame, numbered

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"


@contextmanager
def open_bag(path: Path) -> Iterator[AnyReader]:
    """A rosbag2 recording: its folder, or a single ``.mcap`` or ``.db3`` file.

    :raises BagError: no bag there, one that was not finished, or one of ROS 1.
    """
    reader = open_reader(path)
    try:
        yield reader
    except (AnyReaderError, ReaderError) as error:
        raise BagError(f"the bag {path} is damaged: {error}") from error
    finally:
        reader.close()


class BagTopic:
    """A :class:`~samg_ros.recorded.source.FrameSource` of an image topic, compressed or not.

    :param topic: may be empty where the bag has only one image topic.
    :param new: names for topics of a copy, which must differ from each other and the bag's.
    :raises BagError: the bag cannot be read. :raises ConfigError: no such image topic, or a name
        that is taken.
    """

    kind: Kind = "bag"

    def __init__(self, path: Path, topic: str, new: tuple[str, ...] = ()) -> None:
        self.path = path
        with open_bag(path) as bag:
            found = [c for c in bag.connections if c.msgtype in (IMAGE, COMPRESSED)]
            self.topic = _choose(path, topic, sorted({c.topic for c in found}))
            self._count = bag.topics[self.topic].msgcount
            _refuse_taken(new, set(bag.topics))

    @property
    def count(self) -> int:
        return self._count

    def frames(self, skip: Container[str] = NOTHING) -> Iterator[SourceFrame]:
        with open_bag(self.path) as bag:
            wanted = [c for c in bag.connections if c.topic == self.topic]
            for index, (connection, _, data) in enumerate(messages(bag, self.path, wanted)):
                name = numbered(index)
                if name not in skip:
                    yield decoded(bag, connection, data, name)


def decoded(bag: AnyReader, connection: Connection, data: bytes, name: str) -> SourceFrame:
    """The picture in a serialized message."""
    try:
        message = bag.deserialize(data, connection.msgtype)
        if connection.msgtype == COMPRESSED:
            return SourceFrame(name, images.decode(message.data))  # type: ignore[attr-defined]
        return SourceFrame(name, images.to_rgb(message))  # type: ignore[arg-type]
    except (ImageError, AnyReaderError) as error:
        return SourceFrame(name, None, f"message {int(name)} of {connection.topic}: {error}")


def _choose(path: Path, topic: str, known: list[str]) -> str:
    listed = ", ".join(known) or "none"
    if topic and topic not in known:
        raise ConfigError(f"no image topic {topic!r} in {path}; it has: {listed}")
    if not topic and len(known) != 1:
        raise ConfigError(f"choose an image topic of {path} with --topic; it has: {listed}")
    return topic or known[0]


def _refuse_taken(new: tuple[str, ...], known: set[str]) -> None:
    taken = [name for name in new if name in known or new.count(name) > 1]
    if taken:
        raise ConfigError(
            f"the new bag cannot have two topics {taken[0]}; choose other names with "
            "--image-topic and --mask-topic"
        )
