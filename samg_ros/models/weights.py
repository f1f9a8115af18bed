"""Find a checkpoint's weights, and fetch them where they are not there yet.

The order: an explicit path, the cache folder, then the sources in the checkpoint's table entry.
What was taken is always said; a file that is not whole is fetched again.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from samg_ros.errors import WeightsError
from samg_ros.models import cache, checkpoints, records
from samg_ros.models.acquisition import acquire
from samg_ros.models.checkpoints import Checkpoint
from samg_ros.models.integrity import check_frame
from samg_ros.models.sources import Log


@dataclass(frozen=True)
class WeightsFile:
    """A weights file that is there and whole.

    :param checkpoint: name in the table.
    :param path: the file: safetensors in transformers' names, or the official ``.pt``.
    :param source: what gave it now: ``path``, ``cache``, ``hub``, ``npm`` or ``pip``.
    :param variant: hub repository or package it stems from; ``unknown`` if it cannot be told.
    :param feature_layer: for feature extractors, the hidden state to use (12: the last of ViT-S).
    :param notes: what is special about this variant.
    :param metadata: the whole record: sha256, size, first source, date, conversion check.
    """

    checkpoint: str
    path: Path
    source: str
    variant: str
    feature_layer: int | None = None
    notes: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)


def resolve(
    name: str, path: str | Path | None = None, log: Log = print, *, recheck: bool = False
) -> WeightsFile:
    """The weights of checkpoint ``name``, fetched if need be.

    :param path: an explicit file, or a folder that holds it; then nothing else is looked at.
    :param log: takes one line of text at a time.
    :param recheck: also compare a cached file's sha256 with its record (otherwise only its form
        and size are looked at).
    :raises WeightsError: unknown name; nothing at ``path`` or not whole; nothing reachable; the
        folder cannot be written.
    """
    checkpoint = checkpoints.get(name)
    if path is not None:
        try:
            return _explicit(checkpoint, Path(path).expanduser(), log)
        except OSError as error:
            raise WeightsError(f"{name}: {path} cannot be read: {error}") from error
    entry = cache.look(checkpoint, full=recheck)
    return _cached(checkpoint, entry, log) if entry.usable else fetch(name, log)


def fetch(name: str, log: Log = print, *, force: bool = False) -> WeightsFile:
    """Fetch checkpoint ``name`` into the cache from the first source that can give it.

    :param force: fetch even if a whole copy is there.
    :raises WeightsError: no source could give it, or the folder cannot be written.
    """
    checkpoint = checkpoints.get(name)
    with cache.exclusive(checkpoint, log) as work:
        # Looked at here, because another process may have fetched it while this one waited.
        entry = cache.look(checkpoint, full=True)
        if entry.usable and not force:
            return _cached(checkpoint, entry, log)
        if entry.problem:
            log(f"{name}: {entry.problem}: fetching it again")
        path, record = acquire(checkpoint, work, log)
    return _taken(checkpoint, path, record["source"], record, log)


def verify(name: str) -> cache.Entry:
    """What the cache holds for ``name``, with its sha256 computed anew. Fetches nothing.

    :raises WeightsError: unknown name.
    """
    return cache.look(checkpoints.get(name), full=True)


def _explicit(checkpoint: Checkpoint, path: Path, log: Log) -> WeightsFile:
    """The file the caller named."""
    file = path / checkpoint.file_name if path.is_dir() else path
    if not file.is_file():
        raise WeightsError(
            f"{checkpoint.name}: there is no file {file}; leave the path out to use or fill the "
            f"cache folder {cache.folder()}"
        )
    check_frame(file)
    record = records.read(file)
    if record.get("size") != file.stat().st_size:  # no record, or another file's
        record = records.identify(checkpoint, file)
    return _taken(checkpoint, file, "path", record, log)


def _cached(checkpoint: Checkpoint, entry: cache.Entry, log: Log) -> WeightsFile:
    """The cache's copy, identified where it has no record."""
    record = entry.record
    if not record:
        record = records.identify(checkpoint, entry.path)
        log(f"{checkpoint.name}: {entry.path} has no record; taken as {record['variant']}")
        # A folder that cannot be written serves as well: the file is identified each time.
        with contextlib.suppress(OSError):
            records.write(entry.path, record)
    return _taken(checkpoint, entry.path, "cache", record, log)


def _taken(
    checkpoint: Checkpoint, path: Path, source: str, record: dict[str, Any], log: Log
) -> WeightsFile:
    """Say what was taken, and give it."""
    layer = record.get("feature_layer")
    features = f", features of layer {layer}" if layer else ""
    first = "" if source == record["source"] else f" (first from {record['source']})"
    log(f"{checkpoint.name}: {record['variant']} from {source}{first}{features}: {path}")
    return WeightsFile(
        checkpoint=checkpoint.name,
        path=path,
        source=source,
        variant=record["variant"],
        feature_layer=layer,
        notes=record.get("notes", ""),
        metadata=record,
    )
