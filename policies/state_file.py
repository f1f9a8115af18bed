"""``training.pt`` in a run's folder: what a training that goes on has to know."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from samg_ros.errors import CheckpointError
from samg_ros.offline.atomic import replacing

FILE = "training.pt"
_NoPickle = pickle.UnpicklingError


class StateFile:
    """The state of one kind of training, replaced as a whole.

    :param version: of what is written, by kind of training; another one's is refused.
    """

    def __init__(self, folder: Path, version: str) -> None:
        self.path = folder / FILE
        self._version = version

    def save(self, state: Mapping[str, Any]) -> None:
        """Write it; a process that is killed meanwhile leaves the one before it.

        :param state: tensors, numbers, strings, lists and dictionaries of them.
        :raises OutputError: the disk refuses it.
        """
        # torch.save tells a full disk as such only where it writes to an open file.
        with replacing(self.path) as temporary, temporary.open("wb") as file:
            torch.save({"version": self._version, **state}, file)

    def load(self, task: str | None) -> dict[str, Any]:
        """What was saved last.

        :param task: what its ``task`` must be; None: any.
        :raises CheckpointError: there is none, it is torn, another kind's, release's or task's.
        """
        if not self.path.is_file():
            raise CheckpointError(
                f"{self.path}: no such file; the run ended before its first checkpoint, or has "
                "nothing left to do: start anew"
            )
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
        except (RuntimeError, OSError, EOFError, LookupError, ValueError, _NoPickle) as error:
            raise CheckpointError(f"{self.path}: truncated or no checkpoint ({error})") from error
        if not isinstance(state, dict) or state.get("version") != self._version:
            raise CheckpointError(f"{self.path}: not the state of such a training of this release")
        if task not in (None, state["task"]):
            raise CheckpointError(
                f"{self.path}: trains for task {state['task']!r}, not for {task!r}"
            )
        return state
