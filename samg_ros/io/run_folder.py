"""The folder a training run leaves: config.json, results.json, curve.png and the checkpoint."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, fields, is_dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path
from typing import Any

from samg_ros.errors import ConfigError
from samg_ros.io.atomic import lock, replacing, write_text

_CONFIG = "config.json"
_RESULTS = "results.json"


class RunFolder:
    """The folder of a run, a context manager; its ``path`` is where files go.

    One process at a time may train in it.

    :raises ConfigError: another process does.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open = os.open(path, os.O_RDONLY)
        try:
            lock(self._open, f"{path}: another process is training there")
        except BaseException:
            self.close()
            raise

    @classmethod
    def new(cls, root: Path, name: str, config: Any) -> RunFolder:
        """``root/<local time>_<name>``.

        :param config: the run's configuration, a dataclass; written at once, so that a run that
            is broken off still tells what it was.
        :raises ConfigError: the folder cannot be made.
        :raises OutputError: the disk refuses the configuration.
        """
        stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
        try:
            folder = cls(_new_folder(root, f"{stamp}_{name}"))
        except OSError as error:
            raise ConfigError(f"cannot write the run's folder: {error}") from error
        folder.write_config(config)
        return folder

    @classmethod
    def existing(cls, path: Path) -> RunFolder:
        """The folder that an earlier run made, to go on with that run.

        :raises ConfigError: there is no run's folder at ``path``, or it is in use.
        """
        if not (path / _CONFIG).is_file():
            raise ConfigError(f"{path}: not the folder of a run (it has no {_CONFIG})")
        return cls(path)

    def write_config(self, config: Any) -> None:
        """Write ``config.json`` from a dataclass. :raises OutputError: the disk refuses it."""
        self._write(_CONFIG, asdict(config))

    def write_results(self, results: Mapping[str, Any]) -> None:
        """Write ``results.json``. :raises OutputError: the disk refuses it."""
        self._write(_RESULTS, results)

    def results(self) -> dict[str, Any]:
        """What ``results.json`` says; empty where there is none that can be read."""
        try:
            return json.loads((self.path / _RESULTS).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}

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
        with replacing(self.path / "curve.png") as temporary:
            figure.savefig(temporary, dpi=120)

    def close(self) -> None:
        """Let others train here."""
        os.close(self._open)

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        write_text(self.path / name, json.dumps(content, indent=2, default=str) + "\n")


def read_config(folder: Path) -> dict[str, Any]:
    """What the run of ``folder`` was told.

    :raises ConfigError: there is no run's folder, or it cannot be read.
    """
    path = folder / _CONFIG
    if not path.is_file():
        raise ConfigError(f"{folder}: not the folder of a run (it has no {_CONFIG})")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: not the configuration of a run")
    return content


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
