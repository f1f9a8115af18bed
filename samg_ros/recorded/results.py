"""The folder of a run: masks and scores frame by frame, which is also what a resumed run reads.

config.json     what was masked, and how: a run with other settings is refused
masks/NAME.png  what was found in a frame: 255 on the targets, all 0 where they are lost
scores.jsonl    a line for each frame: status, predicted IoU, each target's, the prompts
results.json    counts, written when all is done
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from samg_ros.errors import ImageError
from samg_ros.images import decode_unchanged, masked
from samg_ros.io.atomic import OutputError, write_png, write_text
from samg_ros.io.contact_sheet import draw_overlay
from samg_ros.io.run_folder import CONFIG, RESULTS, RunFolder
from samg_ros.masking.result import LostFrames
from samg_ros.recorded.source import FrameSource, SourceFrame, read_bytes


@dataclass(frozen=True)
class Record:
    """One line of ``scores.jsonl``.

    ``status``: found | low_confidence | lost | unreadable. ``score``: predicted IoU of the worst
    found target. ``targets``: {name: {"status", "score"}}. ``prompts``: [x, y, label] of all
    targets, relative to the image. ``problem``: why a frame is unreadable. ``digest``:
    the frame's, empty where its source has none.
    """

    frame: str
    status: str
    score: float = 0.0
    targets: dict[str, dict[str, Any]] | None = None
    prompts: list[list[float]] | None = None
    problem: str = ""
    digest: str = ""

    @property
    def readable(self) -> bool:
        return self.status != "unreadable"


class Results:
    """The folder of a run, opened to be filled or to be read; a context manager.

    :param settings: what masks depend on, as JSON takes it. :param command: what repeats the run.
    :raises ConfigError: the folder holds a run with other settings, or something else, or another
        process is at work there.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], command: str = "") -> None:
        self.folder = folder
        self._scores = folder / "scores.jsonl"
        if (folder / CONFIG).is_file() and not self._scores.exists():
            self._run = RunFolder.existing(folder)
            # Nothing was found yet, so nothing can be mixed.
            self._run.write_settings(settings, command)
        else:
            self._run = RunFolder.begin("mask", settings, command, out=str(folder), resume=True)
        self._records = {record.frame: record for record in self._read()}
        self.resumed = len(self.done)
        self._rewrite()

    @property
    def done(self) -> set[str]:
        """Frames whose masks are there; unreadable ones are tried again by the next run."""
        return {name for name, record in self._records.items() if record.readable}

    def record(self, name: str) -> Record | None:
        """The frame's line, or None where it was not looked at yet."""
        return self._records.get(name)

    def counts(self) -> Counter[str]:
        """Frames by status."""
        return Counter(record.status for record in self._records.values())

    def unreadable(self) -> Iterator[Record]:
        """Frames that could not be read."""
        return (record for record in self._records.values() if not record.readable)

    def mask(self, name: str) -> np.ndarray:
        """What was found in a frame, bool [H, W]. :raises ImageError: the file is gone."""
        return decode_unchanged(read_bytes(self.mask_file(name))) > 0

    def mask_file(self, name: str) -> Path:
        """Where a frame's mask is, or will be."""
        return self.folder / "masks" / f"{name}.png"

    def add(self, record: Record, mask: np.ndarray | None = None) -> None:
        """Keep a frame's result; the mask, bool [H, W], comes first, so a line means a mask.

        :raises OutputError: the disk refuses it.
        """
        if record != self._records.get(record.frame):  # unreadable ones are reported by every run
            self.unfinish()
        if mask is not None:
            write_png(self.mask_file(record.frame), mask.astype(np.uint8) * 255)
        self._records[record.frame] = record
        try:
            with self._scores.open("a") as file:
                file.write(_line(record))
        except OSError as error:
            raise OutputError(f"cannot write {self._scores}: {error.strerror}") from error

    def finish(self, summary: dict[str, Any]) -> None:
        """Put the lines in order and write ``results.json``. :raises OutputError: as above."""
        self._rewrite()
        self._run.write_results(summary)

    def unfinish(self) -> None:
        """What was made of the masks holds no longer. :raises OutputError: as above."""
        summary = self.folder / RESULTS
        try:
            summary.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"cannot remove {summary}: {error.strerror}") from error

    def summary(self) -> dict[str, Any] | None:
        """What :meth:`finish` wrote last; None where it holds no longer, or a file is gone."""
        summary = self._run.results()
        whole = all((self.folder / name).exists() for name in summary.get("files", ()))
        return summary if summary and whole else None

    def close(self) -> None:
        """Let others work here."""
        self._run.close()

    def __enter__(self) -> Results:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def keep_only(self, names: Container[str]) -> int:
        """Forget the records of all other frames. Their masks stay where they are.

        :return: how many were forgotten.
        """
        gone = [name for name in self._records if name not in names]
        if gone:
            self.unfinish()
            for name in gone:
                del self._records[name]
            self.resumed = len(self.done)
            self._rewrite()
        return len(gone)

    def _read(self) -> Iterator[Record]:
        if not self._scores.is_file():
            return
        for line in self._scores.read_text().splitlines():
            try:
                record = Record(**json.loads(line))
            except (ValueError, TypeError):
                continue  # the last line of a run that was killed while writing it
            if not record.readable or self.mask_file(record.frame).is_file():
                yield record

    def _rewrite(self) -> None:
        """One line a frame, by name, whatever order and repetitions several runs made."""
        ordered = sorted(self._records.values(), key=lambda record: record.frame)
        if ordered or self._scores.exists():
            write_text(self._scores, "".join(map(_line, ordered)))


def overlay_prompts(record: Record) -> tuple[np.ndarray, np.ndarray]:
    """A record's prompts as :func:`~samg_ros.io.contact_sheet.draw_overlay` takes them."""
    prompts = np.array(record.prompts or [], np.float32).reshape(-1, 3)
    return prompts[:, :2], prompts[:, 2].astype(int)


def _line(record: Record) -> str:
    return json.dumps({k: v for k, v in asdict(record).items() if v not in (None, "")}) + "\n"


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
        return masked(self.rgb, self.mask)

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
