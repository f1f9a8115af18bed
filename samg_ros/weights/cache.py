"""The folder that holds fetched weights: where it is, what lies in it, one fetch at a time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from samg_ros.errors import WeightsError
from samg_ros.io.atomic import sha256_of
from samg_ros.weights.catalogue import Checkpoint
from samg_ros.weights.sources import Log
from samg_ros.weights.sources.spec import Source

HEADER_LIMIT = 100_000_000


def check_frame(path: Path) -> None:
    """Cheap check of a file's form: reads the header, or the directory at a ``.pt``'s end.

    Finds truncated files, half-written files and error pages saved as weights; flipped bits in
    the tensors are found by the hash only.

    :raises WeightsError: the file is not whole.
    """
    if path.suffix == ".safetensors":
        _check_safetensors(path)
    elif not zipfile.is_zipfile(path):
        raise WeightsError(
            f"{path} is not a whole PyTorch file (the zip directory at its end is missing)"
        )


def _check_safetensors(path: Path) -> None:
    """The header of a safetensors file states where the last tensor ends: that is its length.

    Format: 8 bytes little-endian length of a JSON header, the header, the tensors' bytes.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else HEADER_LIMIT + 1
        if length > min(HEADER_LIMIT, size):
            raise WeightsError(f"{path} is not a safetensors file (no header)")
        try:
            header = json.loads(file.read(length))
            ends = [v["data_offsets"][1] for k, v in header.items() if k != "__metadata__"]
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise WeightsError(f"{path} has a damaged safetensors header") from error
    expected = 8 + length + max(ends, default=0)
    if size != expected:
        raise WeightsError(f"{path} has {size} of {expected} bytes")


UNKNOWN = "unknown"
BY_HAND = "by hand"
REQUIRED = {"size", "sha256", "source", "variant"}


def record_path(file: Path) -> Path:
    """The record beside ``file``."""
    return file.with_name(file.name + ".json")


def read(file: Path) -> dict[str, Any]:
    """The record beside ``file``; empty if there is none that can be used."""
    try:
        record = json.loads(record_path(file).read_text())
        return record if record.keys() >= REQUIRED else {}
    except (OSError, ValueError, AttributeError):
        return {}


def write(file: Path, record: dict[str, Any]) -> None:
    """Write the record beside ``file`` in one step."""
    target = record_path(file)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.write_text(json.dumps(record, indent=2) + "\n")
    temporary.replace(target)


def make(checkpoint: Checkpoint, source: Source | None, file: Path) -> dict[str, Any]:
    """A record of ``file``, which came from ``source`` (``None``: nobody knows)."""
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


def identify(checkpoint: Checkpoint, file: Path) -> dict[str, Any]:
    """A record for a file without one: the table's digests tell which variant it is."""
    record = make(checkpoint, None, file)
    for source in checkpoint.sources:
        if record["sha256"] == source.stored_sha256:
            facts = ("variant", "feature_layer", "notes")
            return {**record, **{fact: getattr(source, fact) for fact in facts}}
    return record


FOLDER_VARIABLE = "SAMG_WEIGHTS_DIR"
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
NO_PERMISSION = (errno.EACCES, errno.EPERM, errno.EROFS)


def folder() -> Path:
    """``$SAMG_WEIGHTS_DIR``, else ``$XDG_CACHE_HOME/samg_ros``, else ``~/.cache/samg_ros``."""
    if given := os.environ.get(FOLDER_VARIABLE):
        return Path(given).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "samg_ros"


def path_of(checkpoint: Checkpoint) -> Path:
    """Where the checkpoint's file lies or would lie."""
    return folder() / checkpoint.file_name


@dataclass(frozen=True)
class Entry:
    """What the cache holds under a checkpoint's name.

    :param state: ``whole``; ``absent``; ``unrecorded`` (a file without a record, such as one put
        there by hand); ``damaged``.
    :param problem: why it is damaged, for people.
    """

    path: Path
    state: str
    record: dict[str, Any]
    problem: str = ""

    @property
    def usable(self) -> bool:
        """Whether there is a file that is whole as far as was looked."""
        return self.state in ("whole", "unrecorded")


def look(checkpoint: Checkpoint, *, full: bool = False) -> Entry:
    """Check what is in the cache: form and size, and with ``full`` the sha256 too.

    :raises WeightsError: the folder or the file cannot be read.
    """
    with explained_errors():
        return _look(path_of(checkpoint), full)


def _look(path: Path, full: bool) -> Entry:
    if not path.is_file():
        return Entry(path, "absent", {})
    try:
        check_frame(path)
    except WeightsError as error:
        return Entry(path, "damaged", {}, str(error))
    record = read(path)
    if not record:
        return Entry(path, "unrecorded", {})
    size = path.stat().st_size
    if size != record["size"]:
        return Entry(path, "damaged", record, f"{path} has {size} of {record['size']} bytes")
    if full and sha256_of(path) != record["sha256"]:
        return Entry(path, "damaged", record, f"{path} does not have the sha256 in its record")
    return Entry(path, "whole", record)


def put(file: Path, checkpoint: Checkpoint, record: dict[str, Any]) -> Path:
    """Move ``file`` (in a work folder of the cache) into place together with its record."""
    path = path_of(checkpoint)
    # safetensors writes files that only their owner can read; a cache folder may be shared.
    file.chmod(0o644)
    # The record goes first. A process that looks between the two steps finds a file whose size
    # is not the recorded one, or none, and waits for the lock; it never finds a file unrecorded.
    write(path, record)
    file.replace(path)
    return path


@contextlib.contextmanager
def exclusive(checkpoint: Checkpoint, log: Log) -> Iterator[Path]:
    """Be the only process that fetches this checkpoint; gives an empty work folder.

    The work folder lies in the cache, so that moving a file into place is one step, and is
    removed afterwards, as are those that killed processes left.

    :raises WeightsError: the folder cannot be written or is full; the message says what to do.
    """
    with explained_errors():
        folder().mkdir(parents=True, exist_ok=True)
        prefix = f".work-{checkpoint.name}-"
        with (folder() / f".{checkpoint.name}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                log(f"{checkpoint.name}: another process is fetching it; waiting")
                fcntl.flock(lock, fcntl.LOCK_EX)
            for stale in folder().glob(prefix + "*"):
                shutil.rmtree(stale, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix=prefix, dir=folder()) as work:
                yield Path(work)


@contextlib.contextmanager
def explained_errors() -> Iterator[None]:
    """Turn a full disk or missing permission into an error that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_SPACE:
            reason = "the disk is full; make room"
        elif error.errno in NO_PERMISSION:
            reason = "permission denied; change its permissions"
        else:
            reason = "it cannot be used; mend it"
        raise WeightsError(
            f"weights folder {folder()}: {reason}, or set {FOLDER_VARIABLE} to another folder "
            f"({error})"
        ) from error


def require_space(needed: int) -> None:
    """:raises WeightsError: fewer than ``needed`` bytes are free in the cache folder."""
    free = shutil.disk_usage(folder()).free
    if free < needed:
        raise WeightsError(
            f"weights folder {folder()}: {needed / 1e6:.0f} MB are needed for a moment and "
            f"{free / 1e6:.0f} MB are free; make room, or set {FOLDER_VARIABLE} to another folder"
        )
