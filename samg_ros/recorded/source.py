"""Frames from files, one after the other, each under a name of its own."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

Kind = Literal["pictures", "video", "bag"]
NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True)
class SourceFrame:
    """A frame, or why there is none.

    ``name``: the same at every reading, fit for a file name. ``rgb``: uint8 [H, W, 3], or None
    where the frame cannot be read: then ``problem`` tells why. ``digest``: tells it from another
    of the same name; empty where the source is known as a whole.
    """

    name: str
    rgb: np.ndarray | None
    problem: str = ""
    digest: str = ""


class FrameSource(Protocol):
    """What frames are read from."""

    kind: Kind

    @property
    def count(self) -> int | None:
        """How many frames there are, unreadable ones included; None where nobody knows."""
        ...

    def frames(self, skip: Container[str] = NOTHING) -> Iterator[SourceFrame]:
        """All frames but those named in ``skip``, always in the same order."""
        ...


def numbered(index: int) -> str:
    """The name of a frame of a video or topic."""
    return f"{index:08d}"
