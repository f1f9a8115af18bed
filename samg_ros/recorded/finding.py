"""Masks for the frames of a source that have none yet, batch by batch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from samg_ros.masking.config import ONLY
from samg_ros.masking.masker import Masker
from samg_ros.masking.result import MaskResult
from samg_ros.recorded.results import Record, Results
from samg_ros.recorded.source import FrameSource, SourceFrame

# The batch size is meant for frames of this many pixels: the masker compares features at the
# frames' own size, and eight 4K frames at once would take tens of gigabytes.
NOMINAL_PIXELS = 640 * 480
DECIMALS = 4

Report = Callable[[Record], None]


def find_masks(
    source: FrameSource,
    results: Results,
    build: Callable[[], Masker],
    batch_size: int,
    report: Report,
) -> None:
    """Mask what ``results`` does not hold yet.

    Consecutive frames of one size go through the masker together.

    :param build: makes the masker; called only if there is a frame to mask.
    :param batch_size: frames of 640x480 at a time; of larger ones fewer.
    :param report: called with every frame as its result is kept.
    :raises SamgError: the masker cannot be built, or a result cannot be written.
    """
    worker = _Worker(results, build, report)
    waiting: list[SourceFrame] = []
    for frame in source.frames(skip=results.done):
        if frame.rgb is None:
            worker.keep(Record(frame.name, "unreadable", problem=frame.problem), None)
            continue
        if waiting and _shape(waiting[0]) != _shape(frame):
            worker.mask(waiting)
            waiting = []
        waiting.append(frame)
        if len(waiting) >= _limit(frame, batch_size):
            worker.mask(waiting)
            waiting = []
    if waiting:
        worker.mask(waiting)


class _Worker:
    """Masks batches and keeps their results."""

    def __init__(self, results: Results, build: Callable[[], Masker], report: Report) -> None:
        self._results, self._build, self._report = results, build, report
        self._masker: Masker | None = None

    def mask(self, frames: list[SourceFrame]) -> None:
        self._masker = self._masker or self._build()
        found = self._masker.mask_frames([(ONLY, f.rgb) for f in frames if f.rgb is not None])
        for frame, one in zip(frames, found, strict=True):
            self.keep(_record(frame, one), one.mask)

    def keep(self, record: Record, mask: np.ndarray | None) -> None:
        self._results.add(record, mask)
        self._report(record)


def _record(frame: SourceFrame, found: MaskResult) -> Record:
    points, labels = found.points.reshape(-1, 2).tolist(), found.labels.reshape(-1).tolist()
    return Record(
        frame=frame.name,
        status=found.status,
        score=round(found.score, DECIMALS),
        targets={
            name: {"status": target.status, "score": round(target.score, DECIMALS)}
            for name, target in found.targets.items()
        },
        prompts=[
            [round(x, DECIMALS), round(y, DECIMALS), label]
            for (x, y), label in zip(points, labels, strict=True)
        ],
        digest=frame.digest,
    )


def _shape(frame: SourceFrame) -> tuple[int, ...]:
    return () if frame.rgb is None else frame.rgb.shape


def _limit(frame: SourceFrame, batch_size: int) -> int:
    height, width = _shape(frame)[:2]
    return max(1, min(batch_size, batch_size * NOMINAL_PIXELS // (height * width)))
