"""Reading rosbag2 recordings by the rosbags library: no ROS is needed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.interfaces import Connection
from rosbags.rosbag2 import ReaderError
from rosbags.typesys import Stores, get_typestore

from samg_ros.errors import BagError


def open_reader(path: Path) -> AnyReader:
    """A rosbag2 recording, opened: its folder, or a single ``.mcap`` or ``.db3`` file.

    :raises BagError: no bag there, one that was not finished, or one of ROS 1.
    """
    try:
        reader = AnyReader([path], default_typestore=get_typestore(Stores.ROS2_KILTED))
        if not reader.is2:
            raise BagError(f"{path} is a bag of ROS 1; convert it with `rosbags-convert` first")
        reader.open()
    except (AnyReaderError, ReaderError, OSError, ValueError) as error:
        raise BagError(
            f"cannot read the bag {path}: {error} (a recording that was cut off needs "
            "`ros2 bag reindex` or `mcap recover`)"
        ) from error
    return reader


def messages(
    reader: AnyReader, path: Path, wanted: Collection[Connection]
) -> Iterator[tuple[Connection, int, bytes]]:
    """(connection, time of receipt in ns, data) in order of receipt.

    :param path: the bag's, for what is said of it. :raises BagError: its data are damaged.
    """
    left = reader.messages(wanted)
    while True:
        try:
            message = next(left)
        except StopIteration:
            return
        except Exception as error:  # of whatever decompresses or reads its storage
            raise BagError(f"the bag {path} is damaged: {error}") from error
        yield message
