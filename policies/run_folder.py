"""The folder a training run leaves: config.json, results.json, curve.png and the checkpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, fields, is_dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path
from typing import Any

from samg_ros.errors import ConfigError


class RunFolder:
    """A new folder ``root/<local time>_<name>``; its ``path`` is where files go.

    :param config: the run's configuration, a dataclass; written at once, so that a run that is
        broken off still tells what it was.
    :raises ConfigError: the folder cannot be written.
    """

    def __init__(self, root: Path, name: str, config: Any) -> None:
        stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
        try:
            self.path = _new_folder(root, f"{stamp}_{name}")
            self.write_config(config)
        except OSError as error:
            raise ConfigError(f"cannot write the run's folder: {error}") from error

    @classmethod
    def existing(cls, path: Path) -> RunFolder:
        """The folder that an earlier run made, to go on with that run.

        :raises ConfigError: there is no run's folder at ``path``.
        """
        if not (path / "config.json").is_file():
            raise ConfigError(f"{path}: not the folder of a run (it has no config.json)")
        folder = cls.__new__(cls)
        folder.path = path
        return folder

    def read_config(self) -> dict[str, Any]:
        """The configuration that was written when the folder was made.

        :raises ConfigError: it cannot be read.
        """
        path = self.path / "config.json"
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path}: cannot be read ({error})") from error

    def write_config(self, config: Any) -> None:
        """Write ``config.json`` from a dataclass."""
        self._write("config.json", asdict(config))

    def write_results(self, results: Mapping[str, Any]) -> None:
        """Write ``results.json``."""
        self._write("results.json", results)

    def write_curve(
        self,
        title: str,
        curves: Mapping[str, Sequence[float]],
        *,
        xlabel: str = "DAgger iteration",
        at: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        """Write ``curve.png``: one panel a curve, over iterations from 1.

        :param at: what a curve's values are drawn over instead, by the curve's name.
        :raises ConfigError: matplotlib is not installed.
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
        figure.savefig(self.path / "curve.png", dpi=120)

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        text = json.dumps(content, indent=2, default=str)
        (self.path / name).write_text(text + "\n", encoding="utf-8")


def _new_folder(root: Path, name: str) -> Path:
    """``root/name``, or with a number at its end where another run of this second has that."""
    root.mkdir(parents=True, exist_ok=True)
    for number in count(1):
        path = root / (name if number == 1 else f"{name}_{number}")
        with suppress(FileExistsError):
            path.mkdir()
            return path
    raise AssertionError("numbers do not end")


def command_line(kind: str, task: str, config: Any) -> str:
    """The command that repeats a training: ``samg train`` with what differs from the defaults.

    Of paths only the name is told: a checkpoint is shared, its maker's folders mean nothing.
    """
    return " ".join(["samg train", kind, task, *_flags(config)])


def _flags(config: Any, prefix: str = "--") -> Iterator[str]:
    for field in fields(config):
        value, name = getattr(config, field.name), prefix + field.name.replace("_", "-")
        if is_dataclass(value):
            yield from _flags(value, f"{name}.")
        elif value == field.default or field.name in ("runs", "resume"):
            continue
        elif isinstance(value, bool):
            yield name if value else f"{prefix}no-{name.removeprefix(prefix)}"
        else:
            yield f"{name} {value.name if isinstance(value, Path) else value}"


def package_version() -> str:
    """Version of the installed package, or ``source`` where it runs uninstalled."""
    try:
        return version("samg_ros")
    except PackageNotFoundError:
        return "source"
