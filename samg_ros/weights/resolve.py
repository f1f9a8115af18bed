"""Find a checkpoint's weights, and fetch them where they are not there yet.

The order: an explicit path, the cache folder, then the sources in the checkpoint's table entry.
What was taken is always said; a file that is not whole is fetched again.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from samg_ros.errors import WeightsError
from samg_ros.weights import cache, catalogue
from samg_ros.weights.cache import check_frame
from samg_ros.weights.catalogue import Checkpoint
from samg_ros.weights.sources import hub, packages
from samg_ros.weights.sources.spec import CorruptDownloadError, Fetched, Log, Source

# Archive, the client's own copy of it, members and result lie side by side for a moment.
SPACE_FACTOR = 4


def acquire(checkpoint: Checkpoint, work: Path, log: Log) -> tuple[Path, dict[str, Any]]:
    """Fetch, convert, check and put into the cache; the sources are tried in the table's order.

    :param work: an empty folder in the cache, from :func:`samg_ros.weights.cache.exclusive`.
    :returns: the file in the cache and its record.
    :raises WeightsError: no source could give it; the message has each one's reason and what
        file to put where.
    """
    reasons = []
    for source in checkpoint.sources:
        place = work / source.kind
        try:
            return _take(checkpoint, source, place, log)
        except WeightsError as error:
            log(f"{checkpoint.name}: not from {source.kind}: {error}")
            reasons.append(f"  {source.kind} ({source.variant}): {error}")
        finally:
            shutil.rmtree(place, ignore_errors=True)
    raise WeightsError(_nothing_reached(checkpoint, reasons))


def _take(
    checkpoint: Checkpoint, source: Source, place: Path, log: Log
) -> tuple[Path, dict[str, Any]]:
    """One source: fetch, convert, check, put."""
    cache.require_space(SPACE_FACTOR * source.size)
    if missing := [name for name in source.needs if importlib.util.find_spec(name) is None]:
        raise WeightsError(
            f"converting this copy needs {' and '.join(missing)}; "
            "install with `pip install 'samg_ros[weights]'`"
        )
    fetched = _fetch_whole(source, place, log)
    made = fetched.files[0]
    if source.converter:
        log(f"{checkpoint.name}: converting")
        made = place / checkpoint.file_name
        module, _, function = source.converter.partition(".")
        converters = importlib.import_module(f"samg_ros.weights.conversion.{module}")
        getattr(converters, function)(fetched.files, made)
    check_frame(made)
    record = {**cache.make(checkpoint, source, made), "origin": fetched.origin}
    if source.stored_sha256 not in (None, record["sha256"]):
        raise WeightsError(
            f"what it was converted into has sha256 {record['sha256']}, expected "
            f"{source.stored_sha256}: this machine's torch or onnx computes otherwise; "
            "copy the file from another machine"
        )
    return cache.put(made, checkpoint, record), record


def _fetch_whole(source: Source, place: Path, log: Log) -> Fetched:
    """Fetch; once more if what arrived is damaged."""
    bring: Callable[..., Fetched] = hub.fetch if source.kind == "hub" else packages.fetch
    place.mkdir()
    try:
        return bring(source, place, log)
    except CorruptDownloadError as error:
        log(f"{source.kind}: damaged download, once more: {error}")
    shutil.rmtree(place)
    place.mkdir()
    return bring(source, place, log)


def _nothing_reached(checkpoint: Checkpoint, reasons: list[str]) -> str:
    """The one error for a checkpoint that no source could give."""
    path = cache.path_of(checkpoint)
    return "\n".join(
        [
            f"{checkpoint.name} ({checkpoint.title}): no source could give it.",
            *reasons,
            f"What to do: on a machine that reaches one of these, run "
            f"`samg weights fetch {checkpoint.name}`; `samg weights where` names the folder.",
            f"Copy {path.name} from there to",
            f"  {path.parent}",
        ]
    )


@dataclass(frozen=True)
class WeightsFile:
    """A weights file that is there and whole.

    :param checkpoint: name in the table.
    :param path: the file: safetensors in transformers' names, or the official ``.pt``.
    :param source: what gave it now: ``path``, ``cache``, ``hub``, ``npm`` or ``pip``.
    :param variant: hub repository or package it stems from; ``unknown`` if that is not known.
    :param feature_layer: for feature extractors, the hidden state to use (12: the last of ViT-S).
    :param notes: what is special about this variant.
    :param metadata: the whole record: sha256 of the tensors, first source, date, origin.
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
    :param recheck: also compare a cached file's sha256 with its record or the table (otherwise
        only its form and size are looked at).
    :raises WeightsError: unknown name; nothing at ``path`` or not whole; nothing reachable; the
        folder cannot be written.
    """
    checkpoint = catalogue.get(name)
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
    checkpoint = catalogue.get(name)
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
    return cache.look(catalogue.get(name), full=True)


def _explicit(checkpoint: Checkpoint, path: Path, log: Log) -> WeightsFile:
    """The file the caller named."""
    file = path / checkpoint.file_name if path.is_dir() else path
    if not file.is_file():
        raise WeightsError(
            f"{checkpoint.name}: there is no file {file}; leave the path out to use or fill the "
            f"cache folder {cache.folder()}"
        )
    check_frame(file)
    record = cache.read(file) or cache.identify(checkpoint, file)
    return _taken(checkpoint, file, "path", record, log)


def _cached(checkpoint: Checkpoint, entry: cache.Entry, log: Log) -> WeightsFile:
    """The cache's copy, identified where it has no record."""
    record = entry.record
    if not record:
        record = cache.identify(checkpoint, entry.path)
        log(f"{checkpoint.name}: {entry.path} has no record; taken as {record['variant']}")
    return _taken(checkpoint, entry.path, "cache", record, log)


def _taken(
    checkpoint: Checkpoint, path: Path, source: str, record: dict[str, Any], log: Log
) -> WeightsFile:
    """Say what was taken, and give it."""
    layer = record.get("feature_layer")
    features = f", features of layer {layer}" if layer else ""
    known = record["source"] not in (source, cache.BY_HAND)
    first = f" (first from {record['source']})" if known else ""
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
