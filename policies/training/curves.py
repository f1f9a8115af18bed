"""A training's curves: one JSON object a line, exact and without times, and TensorBoard beside."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from samg_ros.errors import ConfigError
from samg_ros.io.atomic import OutputError

FILE = "curves.jsonl"


class Curves:
    """Writes ``curves.jsonl``, and ``tensorboard/`` where asked for.

    :param folder: an existing folder. :param tensorboard: whether to write for TensorBoard.
    :param position: bytes of the file to keep, from :attr:`position`: a run that is resumed
        forgets what was written after its checkpoint.
    :param frames: where it resumes; TensorBoard hides later points of the broken-off run.
    :raises ConfigError: TensorBoard is not installed, or the folder cannot be written.
    """

    def __init__(
        self, folder: Path, *, tensorboard: bool, position: int = 0, frames: int = 0
    ) -> None:
        self._board = _summary_writer(folder, frames) if tensorboard else None
        try:
            # Unbuffered: for whoever watches, and a full disk is told by the line it refuses.
            self._file = (folder / FILE).open("r+b" if position else "wb", buffering=0)
            self._file.truncate(position)
            self._file.seek(position)
        except OSError as error:
            raise ConfigError(f"cannot write the run's curves: {error}") from error

    @property
    def position(self) -> int:
        """Bytes written so far."""
        return self._file.tell()

    def record(self, kind: str, frames: int, **values: float) -> None:
        """One point of the curves of ``kind``, at ``frames``.

        :raises OutputError: the disk refuses it.
        """
        line = json.dumps({"kind": kind, "frames": frames, **values}).encode() + b"\n"
        try:
            whole = self._file.write(line) == len(line)
        except OSError as error:
            raise OutputError(f"cannot write the run's curves: {error.strerror}") from error
        if not whole:
            raise OutputError("cannot write the run's curves: the disk is full")
        if self._board:
            for name, value in values.items():
                self._board.add_scalar(f"{kind}/{name}", value, frames)

    def close(self) -> None:
        """Finish the files."""
        self._file.close()
        if self._board:
            self._board.close()


def read_curves(folder: Path) -> dict[str, tuple[list[int], list[float]]]:
    """Frames and values of every curve, by ``kind/name``."""
    curves: dict[str, tuple[list[int], list[float]]] = defaultdict(lambda: ([], []))
    for line in (folder / FILE).read_text(encoding="utf-8").splitlines():
        point = json.loads(line)
        kind, frames = point.pop("kind"), point.pop("frames")
        for name, value in point.items():
            at, values = curves[f"{kind}/{name}"]
            at.append(frames)
            values.append(value)
    return dict(curves)


def _summary_writer(folder: Path, frames: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError(
            "TensorBoard is not installed: pip install 'samg_ros[train]', or --no-tensorboard "
            f"({FILE} is written either way)"
        ) from error
    return SummaryWriter(str(folder / "tensorboard"), purge_step=frames or None)
