"""Frames from files, one after the other, each under a name of its own: what a source is, and the
source of pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol
from zlib import crc32

import numpy as np

from samg_ros.errors import ConfigError, ImageError
from samg_ros.images import decode

Kind = Literal["pictures", "video", "bag"]
NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True)
class SourceFrame:
    """A frame, or why there is none.

    ``name``: the same at every reading, fit for a file name. ``rgb``: uint8 [H, W, 3], or None
    where the frame cannot be read: then ``problem`` says why. ``digest``: distinguishes it from
    another of the same name; empty where the source is known as a whole.
    """

    name: str
    rgb: np.ndarray | None
    problem: str = ""
    digest: str = ""


class FrameSource(Protocol):
    """What frames are read from."""

    kind: Kind

    @property
    def count(self) -> int | None:
        """How many frames there are, unreadable ones included; None where that is not known."""
        ...

    def frames(self, skip: Container[str] = NOTHING) -> Iterator[SourceFrame]:
        """All frames but those named in ``skip``, always in the same order."""
        ...


def numbered(index: int) -> str:
    """The name of a frame of a video or topic."""
    return f"{index:08d}"


SUFFIXES = frozenset(
    (".bmp", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp")
)


def read_bytes(path: Path) -> bytes:
    """:raises ImageError: there is no such file, or it cannot be opened."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"cannot read {path}: {error.strerror}") from error


def read_rgb(path: Path) -> np.ndarray:
    """A picture of any size and format as uint8 [H, W, 3] RGB.

    Turned as its EXIF says; alpha is dropped, 16 bits become 8.

    :raises ImageError: no such file, or not a picture; the message names the file.
    """
    return _decoded(path, read_bytes(path))


class Pictures:
    """A :class:`~samg_ros.recorded.source.FrameSource` of one picture, or of a folder's, by name.

    Folders inside the folder are not looked into.

    :raises ConfigError: a folder without pictures.
    """

    kind: Kind = "pictures"

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            self._files = {path.stem: path}
            return
        files = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
        if not files:
            raise ConfigError(
                f"no pictures in {path} (looked for {' '.join(sorted(SUFFIXES))}); give a folder "
                "of pictures, a picture, a video or a bag"
            )
        # Results are PNG files: a.jpg and a.png must not write the same one, nor a.jpg.png.
        taken = Counter(name for file in files for name in (file.stem, file.name))
        self._files = {f.stem if taken[f.stem] == 1 else f.name: f for f in files}

    @property
    def names(self) -> Container[str]:
        """Those of its frames."""
        return self._files.keys()

    @property
    def count(self) -> int:
        return len(self._files)

    def frames(self, skip: Container[str] = NOTHING) -> Iterator[SourceFrame]:
        for name, file in self._files.items():
            if name in skip:
                continue
            try:
                data = read_bytes(file)
                yield SourceFrame(name, _decoded(file, data), digest=f"{crc32(data):08x}")
            except ImageError as error:
                yield SourceFrame(name, None, str(error))


def _decoded(path: Path, data: bytes) -> np.ndarray:
    try:
        return decode(data, upright=True)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
