"""An image topic of a bag as frames, and a copy of the bag with masked images and masks added. By
rosbags: no ROS is needed."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.interfaces import Connection, MessageDefinitionFormat
from rosbags.rosbag2 import ReaderError
from rosbags.rosbag2.errors import WriterError
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from samg_ros import images
from samg_ros.errors import BagError, ConfigError, ImageError, quoted
from samg_ros.io.atomic import replacing
from samg_ros.io.bags import BagWriter, messages, open_reader
from samg_ros.recorded.results import Replay
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
        raise BagError(f"the bag {path} is damaged: {quoted(error, 160)}") from error
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
    except ImageError as error:
        problem = str(error)
    except Exception as error:  # rosbags raises many kinds on damaged messages
        problem = f"the message is damaged: {type(error).__name__}: {quoted(error)}"
    return SourceFrame(name, None, f"message {int(name)} of {connection.topic}: {problem}")


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


Say = Callable[[str], None]


class BagCopy(BagWriter):
    """A bag that takes over another one's topics, definitions and QoS included."""

    def add_copied(self, connection: Connection, types: Typestore) -> bool:
        """Announce a topic of another bag, whose types are given.

        :return: False where the topic's type is not known anywhere.
        """
        if connection.topic in self._topics:
            return self._topics[connection.topic].msgtype == connection.msgtype
        about: dict[str, Any] = {"typestore": self._types}
        if connection.msgdef.format != MessageDefinitionFormat.NONE:
            # A single file has no metadata.yaml, where the digests stand.
            digest = connection.digest or types.hash_rihs01(connection.msgtype)
            about = {"msgdef": connection.msgdef.data, "rihs01": digest}
        elif connection.msgtype not in self._types.fielddefs:
            return False
        self._topics[connection.topic] = self._writer.add_connection(
            connection.topic,
            connection.msgtype,
            offered_qos_profiles=connection.ext.offered_qos_profiles,  # type: ignore[union-attr]
            **about,
        )
        return True


def write_bag(
    source: BagTopic, replay: Replay, folder: Path, image_topic: str, mask_topic: str, say: Say
) -> list[Path]:
    """``bag``: everything of the original, ``image_topic`` (rgb8) and ``mask_topic`` (mono8).

    Headers and times of receipt are the original frame's.

    :param say: called with topics that cannot be copied.
    :return: the bag. :raises BagError, OutputError: the original is damaged, or the disk is full.
    """
    path = folder / "bag"
    with open_bag(source.path) as bag, replacing(path) as temporary:
        writer = BagCopy(temporary)
        try:
            _copy(bag, source, replay, writer, (image_topic, mask_topic), say)
        except WriterError as error:
            raise BagError(f"cannot write {path}: {error}") from error
        finally:
            writer.close()
    return [path]


def _copy(
    bag: AnyReader,
    source: BagTopic,
    replay: Replay,
    writer: BagCopy,
    new: tuple[str, str],
    say: Say,
) -> None:
    copied = _announce(bag, source.topic, writer, new, say)
    frames = 0
    for connection, received_ns, data in messages(bag, source.path, copied):
        writer.write(connection.topic, received_ns, bytes(data))
        if connection.topic != source.topic:
            continue
        masked = replay(decoded(bag, connection, data, numbered(frames)))
        frames += 1
        if masked is not None:
            header = bag.deserialize(data, connection.msgtype).header  # type: ignore[attr-defined]
            pixels = masked.mask.astype(np.uint8) * 255
            writer.write(new[0], received_ns, serialized(masked.masked, "rgb8", header))
            writer.write(new[1], received_ns, serialized(pixels, "mono8", header))


def _announce(
    bag: AnyReader, topic: str, writer: BagCopy, new: tuple[str, str], say: Say
) -> list[Connection]:
    """Add all topics to the new bag. :return: the connections whose messages can be copied."""
    copied = []
    for connection in bag.connections:
        if writer.add_copied(connection, bag.typestore):
            copied.append(connection)
        else:
            say(f"{connection.topic} is left out: no definition of {connection.msgtype} is known")
    qos = next(c for c in copied if c.topic == topic).ext.offered_qos_profiles  # type: ignore[union-attr]
    for name in new:
        writer.add_topic(name, IMAGE, qos)
    return copied


def serialized(pixels: np.ndarray, encoding: str, header: Any) -> bytes:
    """A ``sensor_msgs/Image`` in CDR. :param pixels: uint8, [H, W] or [H, W, 3], contiguous.

    :param header: another message's, of whatever distribution.
    """
    store = _types()
    make = store.types
    stamp = make["builtin_interfaces/msg/Time"](header.stamp.sec, header.stamp.nanosec)
    message = make[IMAGE](
        header=make["std_msgs/msg/Header"](stamp=stamp, frame_id=header.frame_id),
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=pixels[0].nbytes,
        data=pixels.reshape(-1),
    )
    return bytes(store.serialize_cdr(message, IMAGE))


@cache
def _types() -> Typestore:
    return get_typestore(Stores.ROS2_KILTED)
