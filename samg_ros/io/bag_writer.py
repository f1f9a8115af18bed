"""Writing rosbag2 bags (MCAP) from serialized messages, by the rosbags library."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from rosbags.interfaces import Connection, Qos
from rosbags.interfaces.typing import Typesdict
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.rosbag2.errors import WriterError
from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from samg_ros.errors import BagError

BAG_VERSION: Literal[9] = 9


class BagWriter:
    """An open bag. Chunks are written whole, so that a bag whose writer was killed is readable up
    to its last chunk.

    :param path: the new bag's folder.
    :param compress: chunks, with zstd.
    :raises BagError: the folder exists or cannot be made.
    """

    def __init__(self, path: Path, *, compress: bool = True) -> None:
        self.path = path
        self._types = get_typestore(own_store())
        self._topics: dict[str, Connection] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = Writer(path, version=BAG_VERSION, storage_plugin=StoragePlugin.MCAP)
            if compress:
                self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
            self._writer.open()
        except (OSError, WriterError) as error:
            raise BagError(f"cannot write a bag at {path}: {error}") from error

    def add_topic(self, topic: str, msgtype: str, qos: list[Qos]) -> None:
        """Announce a topic before its first message.

        :param msgtype: for example ``sensor_msgs/msg/Image``.
        :raises BagError: the type's definition cannot be found.
        """
        self.learn(msgtype)
        self._topics[topic] = self._writer.add_connection(
            topic, msgtype, typestore=self._types, offered_qos_profiles=qos
        )

    def learn(self, msgtype: str) -> None:
        """Find a type's definition. :raises BagError: there is none."""
        if msgtype not in self._types.fielddefs:
            register_installed_type(self._types, msgtype)

    def write(self, topic: str, received_ns: int, data: bytes) -> None:
        """Append one CDR-serialized message. :raises BagError: the disk refuses it."""
        try:
            self._writer.write(self._topics[topic], received_ns, data)
        except OSError as error:
            raise BagError(f"cannot write to {self.path}: {error}") from error

    def flush(self) -> None:
        """Bring everything so far onto the disk as a whole chunk."""
        storage = self._writer.storage
        # Only the MCAP storage of the pinned rosbags version has these: see setup.py.
        if storage is not None and storage.chunk.msgs:  # type: ignore[attr-defined]
            storage.close_chunk()  # type: ignore[attr-defined]
            storage.bio.flush()  # type: ignore[attr-defined]

    def close(self) -> None:
        """Write index and ``metadata.yaml``; without messages the bag is valid and empty."""
        if self._writer.storage is not None:
            self._writer.close()


def own_store() -> Stores:
    """The message definitions of the sourced distribution, from which the messages come."""
    name = f"ROS2_{os.environ.get('ROS_DISTRO', '').upper()}"
    return Stores[name] if name in Stores.__members__ else Stores.ROS2_KILTED


def register_installed_type(types: Typestore, msgtype: str) -> None:
    """Add a message type that a sourced workspace defines, with all it is made of.

    :raises BagError: its package or its ``.msg`` file is not installed, or it cannot be parsed.
    """
    try:
        types.register(_definitions(types, msgtype))
    except TypesysError as error:
        raise BagError(f"{msgtype} cannot be recorded: {error}") from error


def _definitions(types: Typestore, msgtype: str) -> Typesdict:
    """A type and what it is made of that is not known yet; all of it, or an error."""
    from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

    package, _, name = msgtype.split("/")
    try:
        path = Path(get_package_share_directory(package)) / "msg" / f"{name}.msg"
        text = path.read_text()
    except (PackageNotFoundError, OSError, LookupError) as error:
        raise BagError(f"no definition of {msgtype}: is its workspace sourced? {error}") from error
    try:
        found = get_types_from_msg(text, msgtype)
    except TypesysError as error:
        raise BagError(f"{path} cannot be parsed: {error}") from error
    for needed in _names_in(found) - set(types.fielddefs) - set(found):
        found |= _definitions(types, needed)
    return found


def _names_in(found) -> set[str]:
    """Message types mentioned in field definitions (strings with two slashes)."""
    names: set[str] = set()
    stack = [fields for _, fields in found.values()]
    while stack:
        item = stack.pop()
        if isinstance(item, str) and item.count("/") == 2:
            names.add(item)
        elif isinstance(item, (list, tuple)):
            stack.extend(item)
    return names
