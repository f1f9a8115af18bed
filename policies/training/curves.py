"""A training's curves: one JSON object a line, exact and without times, TensorBoard beside, and a
plot at the end."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from samg_ros.errors import ConfigError
from samg_ros.io.atomic import OutputError, replacing

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
            # Unbuffered: for whoever watches, and a full disk is noticed at the line it refuses.
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


def plot_curves(
    path: Path,
    title: str,
    curves: Mapping[str, Sequence[float]],
    *,
    xlabel: str,
    at: Mapping[str, Sequence[float]] | None = None,
) -> None:
    """Draw one panel a curve, over rounds from 1.

    :param path: of the picture. :param at: what a curve's values are drawn over instead, by the
        curve's name.
    :raises ConfigError: matplotlib is not installed.
    :raises OutputError: the disk refuses it.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError("curves need matplotlib: pip install 'samg_ros[train]'") from error
    figure = Figure(figsize=(4 * len(curves), 3), layout="constrained")
    figure.suptitle(title)
    panels = figure.subplots(1, len(curves), squeeze=False)[0]
    for panel, (name, values) in zip(panels, curves.items(), strict=True):
        over = at[name] if at else range(1, len(values) + 1)
        panel.plot(over, values, marker="o", markersize=3)
        bottom = 0 if min(values, default=0) >= 0 else None
        panel.set(xlabel=xlabel, title=name, ylim=(bottom, None))
        panel.grid(alpha=0.3)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)


def _summary_writer(folder: Path, frames: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError(
            "TensorBoard is not installed: pip install 'samg_ros[train]', or --no-tensorboard "
            f"({FILE} is written either way)"
        ) from error
    return SummaryWriter(str(folder / "tensorboard"), purge_step=frames or None)
