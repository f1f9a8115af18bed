"""Find a checkpoint's weights, and fetch them where they are not there yet.

The order: an explicit path, the cache folder, then the sources in the checkpoint's table entry.
What was taken is always said; a file that is not whole is fetched again.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from samg_ros.errors import WeightsError
from samg_ros.models import cache, checkpoints
from samg_ros.models.checkpoints import Checkpoint, Source
from samg_ros.models.integrity import check_frame, sha256_of
from samg_ros.models.sources import CorruptDownloadError, Fetched, Log, SourceError
from samg_ros.models.sources import fetch as fetch_source

UNKNOWN = "unknown"
BY_HAND = "by hand"
TRIES = 2
# Archive, the client's own copy of it, members and result lie side by side for a moment.
SPACE_FACTOR = 4


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
        return _explicit(checkpoint, Path(path).expanduser(), log)
    return _cached(checkpoint, log, recheck) or fetch(name, log)


def fetch(name: str, log: Log = print, *, force: bool = False) -> WeightsFile:
    """Fetch checkpoint ``name`` into the cache from the first source that can give it.

    :param force: fetch even if a whole copy is there.
    :raises WeightsError: no source could give it; the message tells each one's reason and what
        file to put where.
    """
    checkpoint = checkpoints.get(name)
    reasons = []
    with cache.exclusive(checkpoint, log) as work:
        # Another process may have fetched it while this one waited for its turn.
        if not force and (found := _cached(checkpoint, log, recheck=True)):
            return found
        for source in checkpoint.sources:
            place = work / source.kind
            try:
                return _take(checkpoint, source, place, log)
            except WeightsError as error:
                log(f"{name}: not from {source.kind}: {error}")
                reasons.append(f"  {source.kind} ({source.variant}): {error}")
            finally:
                shutil.rmtree(place, ignore_errors=True)
    raise WeightsError(_nothing_reached(checkpoint, reasons))


def verify(name: str) -> cache.Entry:
    """What the cache holds for ``name``, with its sha256 computed anew. Fetches nothing."""
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
    record = cache.read_record(file) or _identify(checkpoint, file)
    return _taken(checkpoint, file, "path", record, log)


def _cached(checkpoint: Checkpoint, log: Log, recheck: bool) -> WeightsFile | None:
    """The cache's copy if it is whole; a damaged one is announced and ignored."""
    entry = cache.look(checkpoint, full=recheck)
    if entry.state == "damaged":
        log(f"{checkpoint.name}: {entry.problem}: fetching it again")
    if entry.state in ("damaged", "absent"):
        return None
    record = entry.record
    if entry.state == "unrecorded":
        record = _identify(checkpoint, entry.path)
        log(f"{checkpoint.name}: {entry.path} has no record; taken as {record['variant']}")
        with cache.explained_errors():
            cache.write_record(entry.path, record)
    return _taken(checkpoint, entry.path, "cache", record, log)


def _take(checkpoint: Checkpoint, source: Source, place: Path, log: Log) -> WeightsFile:
    """Fetch from one source, convert, check and put into the cache."""
    from samg_ros.models.conversion import convert

    cache.require_space(SPACE_FACTOR * source.size)
    fetched = _fetch_whole(source, place, log)
    made, check = fetched.files[0], {}
    if source.converter:
        log(f"{checkpoint.name}: converting and checking against the original")
        made = place / checkpoint.file_name
        check = convert(source.converter, fetched.files, made)
        log(f"{checkpoint.name}: {_describe(check)}")
    check_frame(made)
    record = {
        **_record(checkpoint, source, made),
        "origin": fetched.origin,
        "conversion": check,
    }
    return _taken(checkpoint, cache.put(made, checkpoint, record), source.kind, record, log)


def _fetch_whole(source: Source, place: Path, log: Log) -> Fetched:
    """Fetch; once more if what arrived is damaged."""
    for attempt in range(1, TRIES + 1):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        try:
            return fetch_source(source, place, log)
        except CorruptDownloadError as error:
            if attempt == TRIES:
                raise
            log(f"{source.kind}: damaged download, once more: {error}")
    raise SourceError("not tried")


def _record(checkpoint: Checkpoint, source: Source | None, file: Path) -> dict[str, Any]:
    """The record of ``file``, which came from ``source`` (``None``: nobody knows)."""
    return {
        "checkpoint": checkpoint.name,
        "source": source.kind if source else BY_HAND,
        "variant": source.variant if source else UNKNOWN,
        "feature_layer": source.feature_layer if source else checkpoint.feature_layer,
        "notes": source.notes if source else "",
        "size": file.stat().st_size,
        "sha256": sha256_of(file),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def _identify(checkpoint: Checkpoint, file: Path) -> dict[str, Any]:
    """A record for a file without one: the table's digests tell which variant it is."""
    record = _record(checkpoint, None, file)
    for source in checkpoint.sources:
        known = getattr(source, "stored_sha256", None) or getattr(source, "sha256", None)
        if record["sha256"] == known:
            known_facts = ("variant", "feature_layer", "notes")
            return {**record, **{fact: getattr(source, fact) for fact in known_facts}}
    return record


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


def _describe(check: dict[str, Any]) -> str:
    """One line about a conversion."""
    if "error_stored" not in check:
        return f"tensors renamed, {check['precision']}"
    return (
        f"agrees with the original: relative error {check['error_float32']:.1e} in float32, "
        f"{check['error_stored']:.1e} as stored ({check['precision']}, "
        f"limit {check['tolerance_stored']:.0e})"
    )


def _nothing_reached(checkpoint: Checkpoint, reasons: list[str]) -> str:
    """The one error for a checkpoint that no source could give."""
    path = cache.path_of(checkpoint)
    hub = checkpoint.sources[0]
    return "\n".join(
        [
            f"{checkpoint.name}: no source could give it.",
            *reasons,
            f"On a machine that reaches one of them run `samg weights fetch {checkpoint.name}` "
            f"and copy {path.name} and {cache.record_path(path).name} from its weights folder "
            f"(`samg weights where`) to",
            f"  {path}",
            f"or give a path to the file. It is {checkpoint.title}, {hub.variant} on the hub.",
        ]
    )
