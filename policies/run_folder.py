"""The folder a training run leaves: config.json, results.json, curve.png and the checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
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
        self.path = root / f"{stamp}_{name}"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._write("config.json", asdict(config))
        except OSError as error:
            raise ConfigError(f"cannot write the run's folder: {error}") from error

    def write_results(self, results: Mapping[str, Any]) -> None:
        """Write ``results.json``."""
        self._write("results.json", results)

    def write_curve(self, title: str, curves: Mapping[str, Sequence[float]]) -> None:
        """Write ``curve.png``: one panel a curve, over iterations from 1.

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
            panel.plot(range(1, len(values) + 1), values, marker="o", markersize=3)
            panel.set(xlabel="DAgger iteration", title=name, ylim=(0, None))
            panel.grid(alpha=0.3)
        figure.savefig(self.path / "curve.png", dpi=120)

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        text = json.dumps(content, indent=2, default=str)
        (self.path / name).write_text(text + "\n", encoding="utf-8")


def command_line(kind: str, task: str, config: Any) -> str:
    """The command that repeats a training: ``samg train`` with what differs from the defaults.

    Of paths only the name is told: a checkpoint is shared, its maker's folders mean nothing.
    """
    words = ["samg train", kind, task]
    for field in fields(config):
        value = getattr(config, field.name)
        if value == field.default or field.name == "runs":
            continue
        told = value.name if isinstance(value, Path) else value
        words.append(f"--{field.name.replace('_', '-')} {told}")
    return " ".join(words)


def package_version() -> str:
    """Version of the installed package, or ``source`` where it runs uninstalled."""
    try:
        return version("samg_ros")
    except PackageNotFoundError:
        return "source"
