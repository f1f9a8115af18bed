"""Where weights come from: one module a kind of source, each with the same ``fetch``."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from samg_ros.errors import WeightsError
from samg_ros.weights.sources.spec import Source

Log = Callable[[str], None]


class SourceError(WeightsError):
    """This source cannot give the file; the next one is tried."""


class CorruptDownloadError(SourceError):
    """The source gave something else than what was asked for; worth one more try."""


@dataclass(frozen=True)
class Fetched:
    """What a source brought.

    :param files: verified files in the work folder, in the order the converter wants them.
    :param origin: what was fetched and checked, kept in the record beside the stored file.
    """

    files: tuple[Path, ...]
    origin: dict[str, Any] = field(default_factory=dict)


def fetch(source: Source, work: Path, log: Log) -> Fetched:
    """Bring ``source``'s files into the folder ``work`` and verify them.

    :raises SourceError: it cannot be reached or has not the file.
    :raises CorruptDownloadError: what arrived is not what the table names.
    """
    module = importlib.import_module(f"{__name__}.{source.kind}")
    fetched: Fetched = module.fetch(source, work, log)
    return fetched
