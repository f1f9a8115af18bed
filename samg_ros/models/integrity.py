"""Is a weights file whole? A cheap look at its frame, and the full hash."""

from __future__ import annotations

import hashlib
import json
import struct
import zipfile
from pathlib import Path

from samg_ros.errors import WeightsError

CHUNK = 1 << 20
HEADER_LIMIT = 100_000_000


def sha256_of(path: Path) -> str:
    """The file's sha256 as a hex digest."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


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
