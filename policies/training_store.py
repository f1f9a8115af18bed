"""A training's state on disk: everything that the next step depends on, replaced atomically.

The replay is written once, in files of consecutive rows; each checkpoint adds those that are new.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch

from policies.replay import Replay, Rows
from samg_ros.errors import CheckpointError
from samg_ros.offline.atomic import replacing

FILE = "training.pt"
_FORMAT_VERSION = 1
_FRAMES_A_FILE = 4096  # 87 MB of 84 px frames before compression


class TrainingStore:
    """``training.pt`` and ``replay/`` in a run's folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
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
        with replacing(self._path) as temporary:
            torch.save(
                {"format_version": _FORMAT_VERSION, "files": kept, "state": dict(state)}, temporary
            )
        self._files = kept
        needed = {self._rows_path(first) for first, _ in kept}
        for path in self._replay.glob("*.npz"):
            if path not in needed:
                path.unlink()

    def load(self) -> dict[str, Any]:
        """The last checkpoint's state.

        :raises CheckpointError: there is none, it is torn, or another release's.
        """
        if not self._path.is_file():
            raise CheckpointError(
                f"{self._path}: no such file: the run ended before its first checkpoint; "
                "start a new one"
            )
        try:
            stored = torch.load(self._path, map_location="cpu", weights_only=True)
        except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
            raise CheckpointError(f"{self._path}: truncated or no checkpoint ({error})") from error
        if not isinstance(stored, dict) or stored.get("format_version") != _FORMAT_VERSION:
            raise CheckpointError(f"{self._path}: not a training's state of this release")
        self._files = [(int(first), int(end)) for first, end in stored["files"]]
        return stored["state"]

    def load_replay(self, replay: Replay) -> None:
        """Fill ``replay`` with the rows of the checkpoint that :meth:`load` read.

        :raises CheckpointError: a file of rows is missing or torn.
        """
        for first, _ in self._files:
            path = self._rows_path(first)
            try:
                with np.load(path, allow_pickle=False) as arrays:
                    replay.restore(first, Rows(**arrays))
            except (OSError, ValueError, TypeError, EOFError, BadZipFile) as error:
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
