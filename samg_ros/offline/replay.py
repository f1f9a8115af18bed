"""Frames with the masks that were found in them, in order, lost ones treated as chosen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from samg_ros.errors import ImageError
from samg_ros.masking.lost import LostFrames
from samg_ros.masking.overlay import draw_overlay
from samg_ros.offline.results import Record, Results, overlay_prompts
from samg_ros.offline.source import FrameSource, SourceFrame


@dataclass(frozen=True)
class MaskedFrame:
    """``rgb``: uint8 [H, W, 3]. ``mask``: bool [H, W], what is let through."""

    name: str
    rgb: np.ndarray
    mask: np.ndarray
    record: Record

    @property
    def masked(self) -> np.ndarray:
        """The frame, zero off the mask, uint8 [H, W, 3]."""
        return self.rgb * self.mask[..., None]

    @property
    def overlay(self) -> np.ndarray:
        """The frame with mask and prompts drawn in, uint8 [H, W, 3]."""
        return draw_overlay(self.rgb, self.mask, *overlay_prompts(self.record))


class Replay:
    """Puts frames and results together; call it with the frames in order.

    Whether a lost frame holds the mask before it is decided here, not when masks are found: then
    a resumed run gives what an uninterrupted one gives.
    """

    def __init__(self, results: Results, lost: LostFrames) -> None:
        self._results, self._lost = results, lost

    def __call__(self, frame: SourceFrame) -> MaskedFrame | None:
        """None for a frame that could not be read, or has no result.

        :raises ImageError: its mask is gone, or is another picture's.
        """
        record = self._results.record(frame.name)
        if frame.rgb is None or record is None or not record.readable:
            return None
        found = self._results.mask(frame.name)
        if found.shape != frame.rgb.shape[:2] or record.digest not in ("", frame.digest):
            raise ImageError(
                f"{frame.name} is not the picture that was masked; remove "
                f"{self._results.mask_file(frame.name)} to have this one masked, or name a new "
                "folder with --out"
            )
        mask = self._lost(found, record.status == "lost")
        return MaskedFrame(frame.name, frame.rgb, mask, record)


def replayed(source: FrameSource, replay: Replay) -> Iterator[MaskedFrame]:
    """All readable frames of a source with their masks."""
    for frame in source.frames():
        masked = replay(frame)
        if masked is not None:
            yield masked
