"""Masks for the frames of a source that have none yet, batch by batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from samg_ros.errors import ConfigError
from samg_ros.masking.masker import SamgMasker
from samg_ros.masking.result import STATUS_NAMES, MaskBatch
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
    build: Callable[[], SamgMasker],
    batch_size: int,
    report: Report,
) -> None:
    """Mask what ``results`` does not hold yet.

    Consecutive frames of one size go through the masker together.

    :param build: makes the masker; called only if there is a frame to mask.
    :param batch_size: frames of 640x480 at a time; of larger ones fewer.
    :param report: told of every frame as its result is kept.
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

    def __init__(self, results: Results, build: Callable[[], SamgMasker], report: Report) -> None:
        self._results, self._build, self._report = results, build, report
        self._masker: SamgMasker | None = None

    def mask(self, frames: list[SourceFrame]) -> None:
        self._masker = self._masker or self._build()
        images = torch.from_numpy(np.stack([f.rgb for f in frames if f.rgb is not None]))
        try:
            batch = self._masker(images)
        except torch.cuda.OutOfMemoryError as error:
            raise ConfigError(
                f"{len(frames)} frames at once do not fit the device's memory; resume with a "
                "smaller --batch"
            ) from error
        masks = batch.mask.cpu().numpy()
        records = _records(batch, [f.name for f in frames], self._masker.target_names)
        for frame, record, mask in zip(frames, records, masks, strict=True):
            self.keep(replace(record, digest=frame.digest), mask)

    def keep(self, record: Record, mask: np.ndarray | None) -> None:
        self._results.add(record, mask)
        self._report(record)


def _records(batch: MaskBatch, names: list[str], targets: tuple[str, ...]) -> list[Record]:
    labelled = torch.cat([batch.points, batch.labels[..., None].to(batch.points)], -1)
    prompts = labelled.flatten(1, 2).cpu().numpy().round(DECIMALS).astype(float).tolist()
    frame_status, status = batch.frame_status.tolist(), batch.status.tolist()
    score, scores = batch.score.tolist(), batch.scores.tolist()
    return [
        Record(
            frame=name,
            status=STATUS_NAMES[frame_status[i]],
            score=round(score[i], DECIMALS),
            targets={
                target: {"status": STATUS_NAMES[s], "score": round(value, DECIMALS)}
                for target, s, value in zip(targets, status[i], scores[i], strict=True)
            },
            prompts=[[round(x, DECIMALS), round(y, DECIMALS), int(b)] for x, y, b in prompts[i]],
        )
        for i, name in enumerate(names)
    ]


def _shape(frame: SourceFrame) -> tuple[int, ...]:
    return () if frame.rgb is None else frame.rgb.shape


def _limit(frame: SourceFrame, batch_size: int) -> int:
    height, width = _shape(frame)[:2]
    return max(1, min(batch_size, batch_size * NOMINAL_PIXELS // (height * width)))
