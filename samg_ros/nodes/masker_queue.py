"""The newest frame of every camera, handed in batches from the thread that receives them."""

from __future__ import annotations

import threading
from time import monotonic
from typing import Generic, NamedTuple, TypeVar

Item = TypeVar("Item")


class _Waiting(NamedTuple, Generic[Item]):
    item: Item
    since: float


class FrameQueue(Generic[Item]):
    """At most one frame a camera: a newer one takes the place of the one that waits.

    Any threads may put frames; one takes them.

    Cameras take turns: whose last turn is longest ago is served first, so under backlog all are
    served equally often. A newer frame inherits its predecessor's waiting time.

    :param cameras: how many cameras there are; when each has a frame, none is waited for.
    """

    def __init__(self, cameras: int) -> None:
        self._cameras = cameras
        self._changed = threading.Condition()
        self._waiting: dict[str, _Waiting[Item]] = {}
        self._served: dict[str, int] = {}  # by camera, the number of its last turn
        self._turns = 0
        self._closed = False

    def put(self, camera: str, item: Item) -> bool:
        """Leave a camera's newest frame. :return: whether another one was dropped for it.

        Once the queue is closed, the frame itself is what is dropped.
        """
        with self._changed:
            if self._closed:
                return True
            older = self._waiting.get(camera)
            self._waiting[camera] = _Waiting(item, older.since if older else monotonic())
            self._changed.notify()
            return older is not None

    def take(self, max_batch: int, max_wait_s: float) -> list[tuple[str, Item]]:
        """Wait for a frame, then for other cameras' until the first has waited ``max_wait_s``.

        :return: one to ``max_batch`` (camera, frame); nothing once the queue is closed.
        """
        wanted = min(max_batch, self._cameras)
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            left_s = max_wait_s - self._longest_wait_s()
            self._changed.wait_for(
                lambda: len(self._waiting) >= wanted or self._closed, timeout=max(0.0, left_s)
            )
            if self._closed:
                return []
            first = sorted(self._waiting, key=lambda camera: self._served.get(camera, 0))
            return [(camera, self._serve(camera)) for camera in first[:max_batch]]

    def close(self) -> list[tuple[str, Item]]:
        """Wake whoever waits, for good. :return: the frames that nobody takes any more."""
        with self._changed:
            self._closed = True
            left = [(camera, waiting.item) for camera, waiting in self._waiting.items()]
            self._waiting.clear()
            self._changed.notify_all()
            return left

    def _serve(self, camera: str) -> Item:
        self._turns += 1
        self._served[camera] = self._turns
        return self._waiting.pop(camera).item

    def _longest_wait_s(self) -> float:
        return max((monotonic() - waiting.since for waiting in self._waiting.values()), default=0)


Message = TypeVar("Message")

# Of either kind. A mask that is so late that this many frames came in the meantime is lost.
MAX_WAITING = 8


class Pairs(Generic[Message]):
    """Keeps what came first until the other one of the same stamp is here."""

    def __init__(self) -> None:
        self._frames: dict[int, Message] = {}  # by stamp, newest last
        self._masks: dict[int, Message] = {}

    def add_frame(self, stamp: int, frame: Message) -> tuple[Message, Message] | None:
        """:return: the frame and its mask, if that is here already."""
        self._frames[stamp] = frame
        return self._complete(stamp)

    def add_mask(self, stamp: int, mask: Message) -> tuple[Message, Message] | None:
        """:return: the frame and this mask, if the frame is here already."""
        self._masks[stamp] = mask
        return self._complete(stamp)

    def give_up(self) -> int:
        """Forget the oldest beyond ``MAX_WAITING`` of a kind. :return: how many."""
        given_up = 0
        for waiting in (self._frames, self._masks):
            while len(waiting) > MAX_WAITING:
                waiting.pop(next(iter(waiting)))
                given_up += 1
        return given_up

    def _complete(self, stamp: int) -> tuple[Message, Message] | None:
        if stamp not in self._frames or stamp not in self._masks:
            return None
        return self._frames.pop(stamp), self._masks.pop(stamp)
