"""The folder that holds fetched weights: where it is, what lies in it, one fetch at a time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
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
from samg_ros.weights.sources.spec import Log, Source

HEADER_LIMIT = 100_000_000
CHUNK = 1 << 20
# A record's key in the metadata of a safetensors file, where it stands as JSON.
RECORD = "samg_ros"
UNKNOWN = "unknown"
BY_HAND = "by hand"
REQUIRED = {"sha256", "source", "variant"}


def check_frame(path: Path) -> None:
    """Cheap check of a file's form: reads the header, or the directory at a ``.pt``'s end.

    Finds truncated files, half-written files and error pages saved as weights; flipped bits in
    the tensors are found by the digest only.

    :raises WeightsError: the file is not whole.
    """
    if path.suffix == ".safetensors":
        _header(path)
    elif not zipfile.is_zipfile(path):
        raise WeightsError(
            f"{path} is not a whole PyTorch file (the zip directory at its end is missing)"
        )


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file, and where the tensors begin.

    Format: 8 bytes little-endian length of a JSON header, the header, the tensors' bytes. The
    header states where the last tensor ends: that is the file's length.

    :raises WeightsError: the file is not whole.
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
            expected = 8 + length + max(ends, default=0)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise WeightsError(f"{path} has a damaged safetensors header") from error
    if size != expected:
        raise WeightsError(f"{path} has {size} of {expected} bytes")
    return header, 8 + length


def digest(path: Path) -> str:
    """What distinguishes one file of weights from another, as a hex digest.

    For safetensors it covers the tensors (names, number types, shapes, numbers), whatever their
    order and whatever the metadata say; for other files it is their sha256.

    :raises WeightsError: the file is not whole.
    """
    if path.suffix != ".safetensors":
        return sha256_of(path)
    header, start = _header(path)
    header.pop("__metadata__", None)
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        for name, tensor in sorted(header.items()):
            sha256.update(f"{name} {tensor['dtype']} {tensor['shape']}\n".encode())
            begin, end = tensor["data_offsets"]
            file.seek(start + begin)
            for place in range(begin, end, CHUNK):
                sha256.update(file.read(min(CHUNK, end - place)))
    return sha256.hexdigest()


def read(file: Path) -> dict[str, Any]:
    """The record in ``file``, or what an earlier release wrote beside it; empty without either.

    :raises WeightsError: the file is not whole.
    """
    metadata = _header(file)[0].get("__metadata__", {}) if file.suffix == ".safetensors" else {}
    try:
        record = json.loads(metadata[RECORD])
        return record if record.keys() >= REQUIRED else {}
    except (KeyError, TypeError, ValueError, AttributeError):
        pass
    try:
        record = json.loads(earlier_record(file).read_text())
        known = record.keys() >= REQUIRED and record["size"] == file.stat().st_size
        return record if known else {}
    except (OSError, KeyError, TypeError, ValueError, AttributeError):
        return {}


def earlier_record(file: Path) -> Path:
    """Where earlier releases wrote the record of ``file``, with its size and its own sha256."""
    return file.with_name(file.name + ".json")


def stamp(file: Path, record: dict[str, Any]) -> None:
    """Write the record into a safetensors file; other files stay as they are."""
    if file.suffix != ".safetensors":
        return
    header, start = _header(file)
    header["__metadata__"] = {
        **header.get("__metadata__", {}),
        "format": "pt",
        RECORD: json.dumps(record),
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (
        -len(text) % 8
    )  # tensors begin where a multiple of their number type's size is
    temporary = file.with_name(f"{file.name}.stamped")
    with file.open("rb") as source, temporary.open("wb") as target:
        target.write(struct.pack("<Q", len(text)) + text)
        source.seek(start)
        shutil.copyfileobj(source, target, CHUNK)
    temporary.replace(file)


def make(checkpoint: Checkpoint, source: Source | None, file: Path) -> dict[str, Any]:
    """A record of ``file``, which came from ``source`` (``None``: not known)."""
    return {
        "checkpoint": checkpoint.name,
        "source": source.kind if source else BY_HAND,
        "variant": source.variant if source else UNKNOWN,
        "feature_layer": source.feature_layer if source else checkpoint.feature_layer,
        "notes": source.notes if source else "",
        "sha256": digest(file),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def identify(checkpoint: Checkpoint, file: Path) -> dict[str, Any]:
    """A record for a file without one: the table's digests say which variant it is."""
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

    :param state: ``whole``; ``absent``; ``unrecorded`` (nothing says what it is, such as a file
        put there by hand); ``damaged``.
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
    """Check what is in the cache: the form, and with ``full`` the digest too.

    :raises WeightsError: the folder or the file cannot be read.
    """
    path = path_of(checkpoint)
    with explained_errors():
        if not path.is_file():
            return Entry(path, "absent", {})
        try:
            check_frame(path)
            record = read(path)
            if full:
                return _look_closely(checkpoint, path, record)
        except WeightsError as error:
            return Entry(path, "damaged", {}, str(error))
    told = bool(record) or path.suffix != ".safetensors"
    return Entry(path, "whole" if told else "unrecorded", record)


def _look_closely(checkpoint: Checkpoint, path: Path, record: dict[str, Any]) -> Entry:
    """Compare the digest with that of the record, or with those of the table."""
    if record:
        found = sha256_of(path) if "size" in record else digest(path)  # as earlier releases had it
        if found == record["sha256"]:
            return Entry(path, "whole", record)
        return Entry(path, "damaged", record, f"{path} does not have the sha256 in its record")
    record = identify(checkpoint, path)
    if record["variant"] != UNKNOWN:
        return Entry(path, "whole", record)
    if path.stat().st_size in (s.size for s in checkpoint.sources if s.stored_sha256):
        return Entry(path, "damaged", {}, f"{path} has the size of a known file, not its sha256")
    return Entry(path, "unrecorded", {})


def put(file: Path, checkpoint: Checkpoint, record: dict[str, Any]) -> Path:
    """Move ``file`` (in a work folder of the cache) into place with its record in it."""
    path = path_of(checkpoint)
    stamp(file, record)
    # safetensors writes files that only their owner can read; a cache folder may be shared.
    file.chmod(0o644)
    file.replace(path)
    earlier_record(path).unlink(missing_ok=True)
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
