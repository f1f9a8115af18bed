"""Files that are there whole or not at all, whenever the process ends."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from samg_ros.errors import ConfigError, SamgError, quoted

if TYPE_CHECKING:
    import numpy as np


class OutputError(SamgError):
    """A result that cannot be written: the disk is full, or the folder is not writable."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a place for a file or folder of the same name, which becomes ``path`` at the end.

    What a killed run left there is removed first.

    :raises OutputError: the disk refuses it; ``path`` is as it was.
    """
    if path.name in ("", ".."):
        raise OutputError(f"cannot write {path}: it names no file in a folder")
    work = path.parent / ".partial"
    temporary = work / path.name
    try:
        work.mkdir(parents=True, exist_ok=True)
        _remove(temporary)
        yield temporary
        if path.is_dir():
            if not temporary.is_dir():
                raise OutputError(f"cannot write {path}: it is a folder; name a file")
            _remove(path)
        temporary.replace(path)
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}; what was finished before is kept"
        ) from error
    finally:
        with suppress(OSError):  # there may be no such place, or others still writing there
            _remove(temporary)
            work.rmdir()


def write_text(path: Path, text: str) -> None:
    """:raises OutputError: as :func:`replacing`."""
    with replacing(path) as temporary:
        temporary.write_text(text)


def write_png(path: Path, pixels: np.ndarray) -> None:
    """:param pixels: uint8, [H, W] or RGB [H, W, 3]. :raises OutputError: as :func:`replacing`."""
    import cv2  # takes a tenth of a second, and most of who writes files draws nothing

    ordered = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    _, content = cv2.imencode(".png", ordered)
    with replacing(path) as temporary:
        temporary.write_bytes(content.tobytes())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def lock(descriptor: int, refusal: str) -> None:
    """Lock an open file or folder until ``descriptor`` is closed.

    :param refusal: the message where another holds it.
    :raises ConfigError: another does.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ConfigError(refusal) from error


def sha256_of(path: Path) -> str:
    """The file's sha256 as a hex digest."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def typed_path(text: str) -> Path:
    """A path as somebody has typed it, with ``~`` for a home.

    :raises ConfigError: it cannot be one.
    """
    try:
        if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
            raise ValueError("it holds characters that no file's name has")
        path = Path(text).expanduser()
        path.exists()  # too long a name is told here
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(f"{quoted(text)} is no path: {quoted(error)}") from error
    return path


def is_folder(path: Path) -> bool:
    """Whether there is such a folder; also where the disk refuses to tell."""
    try:
        return path.is_dir()
    except OSError:
        return False
