"""Frames and masks that come on two topics and belong together by their stamps."""

from __future__ import annotations

from typing import Generic, TypeVar

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
