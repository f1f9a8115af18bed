"""The folder that holds fetched weights: where it is, what lies in it, one fetch at a time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samg_ros.errors import WeightsError
from samg_ros.models import records
from samg_ros.models.checkpoints import Checkpoint
from samg_ros.models.integrity import check_frame, sha256_of
from samg_ros.models.sources import Log

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
    record = records.read(path)
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
    records.write(path, record)
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
