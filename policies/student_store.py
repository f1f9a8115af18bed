"""A student's training on disk: every round's episodes, and what the next round depends on."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from policies.dataset import Episode
from policies.state_file import StateFile
from samg_ros.errors import CheckpointError
from samg_ros.offline.atomic import replacing

_VERSION = "student 1"
_ARRAYS = ("frames", "joints", "states", "labels")


class StudentStore:
    """``training.pt`` and ``episodes/`` in a run's folder, of the task called ``task``.

    A round's episodes are written once; masked pictures are mostly black, and take little.
    """

    def __init__(self, folder: Path, task: str) -> None:
        self._file, self._task = StateFile(folder, _VERSION), task
        self._episodes = folder / "episodes"

    def save(self, round_: int, episodes: Sequence[Episode], state: Mapping[str, Any]) -> None:
        """A round is done; a process that is killed meanwhile leaves the one before it.

        :param episodes: that were driven in it. :param state: see :meth:`StateFile.save`.
        :raises OutputError: the disk refuses it.
        """
        arrays: dict[str, Any] = {
            name: np.concatenate([getattr(episode, name) for episode in episodes])
            for name in _ARRAYS
            if episodes
        }
        told: dict[str, Any] = {
            "lengths": np.array([len(episode.labels) for episode in episodes]),
            "successes": np.array([episode.success for episode in episodes], bool),
        }
        with replacing(self._path(round_)) as temporary:
            np.savez_compressed(temporary, **arrays, **told)
        self._file.save({"task": self._task, "round": round_, "state": dict(state)})

    def load(self) -> tuple[int, dict[str, Any]]:
        """The last round that is done, and its state.

        :raises CheckpointError: see :meth:`StateFile.load`.
        """
        stored = self._file.load(self._task)
        return int(stored["round"]), stored["state"]

    def episodes(self, round_: int) -> list[Episode]:
        """Those that were driven in a round. :raises CheckpointError: missing or torn."""
        path = self._path(round_)
        try:
            with np.load(path, allow_pickle=False) as stored:
                ends = np.cumsum(stored["lengths"])[:-1]
                split = {n: np.split(stored[n], ends) for n in _ARRAYS if n in stored}
                successes = stored["successes"].tolist()
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise CheckpointError(
                f"{path}: missing or torn; the run cannot go on from it: start anew"
            ) from error
        return [
            Episode(**{name: parts[i] for name, parts in split.items()}, success=success)
            for i, success in enumerate(successes)
        ]

    def clear(self) -> None:
        """The run is at its end: nothing goes on from here."""
        shutil.rmtree(self._episodes, ignore_errors=True)
        self._file.path.unlink(missing_ok=True)

    def _path(self, round_: int) -> Path:
        return self._episodes / f"{round_:05d}.npz"
