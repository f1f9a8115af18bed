"""rosbag2 recordings without ROS: read, written, and written in a thread of their own."""

from __future__ import annotations

import os
import shutil
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Literal, NamedTuple

from rosbags.highlevel import AnyReader
from rosbags.interfaces import Connection, Qos
from rosbags.interfaces.typing import Typesdict
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.rosbag2.errors import WriterError
from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from samg_ros.errors import BagError, quoted


def open_reader(path: Path) -> AnyReader:
    """A rosbag2 recording, opened: its folder, or a single ``.mcap`` or ``.db3`` file.

    :raises BagError: no bag there, one that was not finished, or one of ROS 1.
    """
    try:
        reader = AnyReader([path], default_typestore=get_typestore(Stores.ROS2_KILTED))
        if not reader.is2:
            raise BagError(f"{path} is a bag of ROS 1; convert it with `rosbags-convert` first")
        reader.open()
    except BagError:
        raise
    except Exception as error:  # rosbags and what it uses raise many kinds on damaged files
        raise BagError(
            f"cannot read the bag {path}: {type(error).__name__}: {quoted(error, 160)} "
            "(a recording that was cut off needs `ros2 bag reindex` or `mcap recover`)"
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
            raise BagError(f"the bag {path} is damaged: {quoted(error, 160)}") from error
        yield message


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


class _Job(NamedTuple):
    do: Callable[[], None]
    size: int  # bytes of the message, 0 for what is none
    since: float


class BagThread:
    """Takes messages for a :class:`BagWriter`, from one thread, and writes them in another.

    :param max_cache: bytes that may wait; a message that finds no room is refused.
    :param flush_s: what is buffered is written at least this often.
    :param min_free: writing ends when the disk has fewer bytes left.
    :param written: called in the writing thread for each message, with the time in s since it
        came.
    """

    def __init__(
        self,
        bag: BagWriter,
        *,
        max_cache: int,
        flush_s: float,
        min_free: int,
        written: Callable[[float], None],
    ) -> None:
        self.path = bag.path
        self.error: BagError | None = None
        """Why nothing is written any more; what waited then is :attr:`waiting`."""
        self._bag, self._written = bag, written
        self._max_cache, self._flush_s, self._min_free = max_cache, flush_s, min_free
        self._changed = threading.Condition()  # for the next three
        self._waiting: deque[_Job] = deque()
        self._waiting_bytes = 0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="bag", daemon=True)
        self._thread.start()

    def add_topic(self, topic: str, msgtype: str, qos: list[Qos]) -> None:
        """Announce a topic before its first message; see :meth:`BagWriter.add_topic`."""
        self._bag.learn(msgtype)
        self._put(partial(self._bag.add_topic, topic, msgtype, qos))

    def write(self, topic: str, received_ns: int, data: bytes) -> bool:
        """Leave one CDR-serialized message.

        :return: whether it will be written: too many others may wait.
        """
        return self._put(partial(self._bag.write, topic, received_ns, data), len(data))

    def close(self) -> None:
        """Write what waits, then index and metadata.

        :raises BagError: the disk refuses it, or refused an earlier message.
        """
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()
        try:
            self._bag.close()
        except OSError as error:
            raise BagError(f"{self.path} could not be finished: {error}") from error
        if self.error is not None:
            raise self.error

    @property
    def waiting(self) -> int:
        """How many messages are not written yet."""
        with self._changed:
            return sum(1 for job in self._waiting if job.size)

    def _put(self, do: Callable[[], None], size: int = 0) -> bool:
        with self._changed:
            # Whatever its size, one may always wait: else none as large would ever be written.
            if self._waiting_bytes and self._waiting_bytes + size > self._max_cache:
                return False
            self._waiting.append(_Job(do, size, monotonic()))
            self._waiting_bytes += size
            self._changed.notify()
            return True

    def _run(self) -> None:
        due = monotonic() + self._flush_s
        try:
            while (job := self._take(due)) or not self._closed:
                if job:
                    job.do()
                    self._done()
                if monotonic() >= due:
                    self._flush()
                    due = monotonic() + self._flush_s
        except BagError as error:
            self.error = error
        except Exception as error:  # whatever it is: a thread that ends silently helps nobody
            self.error = BagError(f"cannot write to {self.path}: {error}")

    def _take(self, due: float) -> _Job | None:
        """What has waited longest; nothing if nothing comes until ``due``, or ever again."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._waiting or self._closed, timeout=max(0.0, due - monotonic())
            )
            return self._waiting[0] if self._waiting else None

    def _done(self) -> None:
        with self._changed:
            job = self._waiting.popleft()
            self._waiting_bytes -= job.size
        if job.size:
            self._written(monotonic() - job.since)

    def _flush(self) -> None:
        free = shutil.disk_usage(self.path).free
        if free < self._min_free:
            raise BagError(f"the disk has only {free / 1e6:.0f} MB left")
        self._bag.flush()
