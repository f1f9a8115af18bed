"""A bag that is written in a thread of its own, so that receiving goes on while it compresses."""

from __future__ import annotations

import shutil
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import NamedTuple

from rosbags.interfaces import Qos

from samg_ros.errors import BagError
from samg_ros.io.bag_writer import BagWriter


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
