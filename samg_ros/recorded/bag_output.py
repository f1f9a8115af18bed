"""A copy of a bag with masked images and masks added, each right after its frame."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.highlevel import AnyReader
from rosbags.interfaces import Connection, MessageDefinitionFormat
from rosbags.rosbag2.errors import WriterError
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from samg_ros.errors import BagError
from samg_ros.io.atomic import replacing
from samg_ros.io.bag_reader import messages
from samg_ros.io.bag_writer import BagWriter
from samg_ros.recorded.bag_topic import IMAGE, BagTopic, decoded, open_bag
from samg_ros.recorded.results import Replay
from samg_ros.recorded.source import numbered

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

    :param say: told of topics that cannot be copied.
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
