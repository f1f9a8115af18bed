"""DrQ-v2's training on disk: everything that the next step depends on, replaced atomically.

The replay is written once, in files of consecutive rows; each checkpoint adds those that are new.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from policies.replay import Replay, Rows
from policies.state_file import StateFile
from samg_ros.errors import CheckpointError
from samg_ros.offline.atomic import replacing

_VERSION = "drqv2 2"
_FRAMES_A_FILE = 4096  # 87 MB of 84 px frames before compression


class TrainingStore:
    """``training.pt`` and ``replay/`` in a run's folder."""

    def __init__(self, folder: Path) -> None:
        self._state = StateFile(folder, _VERSION)
        self._replay = folder / "replay"
        self._files: list[tuple[int, int]] = []  # first row, and the row after the last

    def save(self, state: Mapping[str, Any], replay: Replay) -> None:
        """Write a checkpoint; a process that is killed meanwhile leaves the one before it.

        :param state: tensors, numbers, strings, lists and dictionaries of them.
        :raises OutputError: the disk refuses it.
        """
        kept = [files for files in self._files if files[1] > replay.oldest]
        start = max(kept[-1][1] if kept else 0, replay.oldest)
        kept += self._write_rows(replay, start)
        self._state.save({**state, "files": kept})
        self._files = kept
        needed = {self._rows_path(first) for first, _ in kept}
        for path in self._replay.glob("*.npz"):
            if path not in needed:
                path.unlink()

    def load(self, task: str | None = None) -> dict[str, Any]:
        """The last checkpoint's state. :raises CheckpointError: see :meth:`StateFile.load`."""
        state = self._state.load(task)
        self._files = [(int(first), int(end)) for first, end in state["files"]]
        return state

    def load_replay(self, replay: Replay) -> None:
        """Fill ``replay`` with the rows of the checkpoint that :meth:`load` read.

        :raises CheckpointError: a file of rows is missing or torn.
        """
        for first, _ in self._files:
            path = self._rows_path(first)
            try:
                with np.load(path, allow_pickle=False) as arrays:
                    replay.restore(first, Rows(**arrays))
            except (OSError, ValueError, TypeError, EOFError, BadZipFile, zlib.error) as error:
                raise CheckpointError(f"{path}: missing or torn ({error})") from error

    def _write_rows(self, replay: Replay, start: int) -> list[tuple[int, int]]:
        files = []
        size = max(1, _FRAMES_A_FILE // replay.environments)
        for first in range(start, replay.ticks, size):
            end = min(first + size, replay.ticks)
            path = self._rows_path(first)
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary:
                np.savez_compressed(temporary, **asdict(replay.rows(first, end)))
            files.append((first, end))
        return files

    def _rows_path(self, first: int) -> Path:
        return self._replay / f"{first:012d}.npz"
