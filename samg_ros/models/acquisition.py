"""Get a checkpoint's file from the first of its sources that can give it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from samg_ros.errors import WeightsError
from samg_ros.models import cache, conversion, records
from samg_ros.models.checkpoints import Checkpoint
from samg_ros.models.integrity import check_frame
from samg_ros.models.sources import CorruptDownloadError, Fetched, Log, fetch
from samg_ros.models.sources.spec import Source

# Archive, the client's own copy of it, members and result lie side by side for a moment.
SPACE_FACTOR = 4


def acquire(checkpoint: Checkpoint, work: Path, log: Log) -> tuple[Path, dict[str, Any]]:
    """Fetch, convert, check and put into the cache; the sources are tried in the table's order.

    :param work: an empty folder in the cache, from :func:`samg_ros.models.cache.exclusive`.
    :returns: the file in the cache and its record.
    :raises WeightsError: no source could give it; the message tells each one's reason and what
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
    if source.converter:
        conversion.require_tools(source.converter)
    fetched = _fetch_whole(source, place, log)
    made, check = fetched.files[0], {}
    if source.converter:
        log(f"{checkpoint.name}: converting")
        made = place / checkpoint.file_name
        check = conversion.convert(source.converter, fetched.files, made)
        log(f"{checkpoint.name}: {_describe(check)}")
    check_frame(made)
    record = records.make(checkpoint, source, made)
    record |= {"origin": fetched.origin, "conversion": check}
    return cache.put(made, checkpoint, record), record


def _fetch_whole(source: Source, place: Path, log: Log) -> Fetched:
    """Fetch; once more if what arrived is damaged."""
    place.mkdir()
    try:
        return fetch(source, place, log)
    except CorruptDownloadError as error:
        log(f"{source.kind}: damaged download, once more: {error}")
    shutil.rmtree(place)
    place.mkdir()
    return fetch(source, place, log)


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
    return "\n".join(
        [
            f"{checkpoint.name} ({checkpoint.title}): no source could give it.",
            *reasons,
            f"What to do: on a machine that reaches one of these, run "
            f"`samg weights fetch {checkpoint.name}`; `samg weights where` names the folder.",
            f"Copy {path.name} and {records.path_of(path).name} from there to",
            f"  {path.parent}",
        ]
    )
