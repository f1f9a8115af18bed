"""Arrays from ``.npz`` files of others: no header is believed before its size is checked."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

MOST_BYTES = 1 << 30
"""Of all arrays of a file together, unpacked."""
_ENCRYPTED = 1
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what numpy writes
_MOST_DIMENSIONS = 8
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


class UnreadableArraysError(ValueError):
    """A file that is no ``.npz``, or one that lies about itself."""


def read_arrays(
    path: Path, names: Collection[str] | None = None, most_bytes: int = MOST_BYTES
) -> dict[str, np.ndarray]:
    """The arrays of a ``.npz``, as ``numpy.savez`` and ``savez_compressed`` write it.

    :param names: of those that are wanted; None takes all.
    :param most_bytes: more than that, unpacked, is refused before anything is read.
    :raises FileNotFoundError: there is no such file.
    :raises UnreadableArraysError: anything else that is wrong with it.
    """
    try:
        with zipfile.ZipFile(path) as file:
            members = {info.filename.removesuffix(".npy"): info for info in file.infolist()}
            if sum(info.file_size for info in members.values()) > most_bytes:
                raise UnreadableArraysError(
                    f"its arrays would take more than {most_bytes:,} bytes"
                )
            wanted = members if names is None else names
            return {name: _read(file, members[name]) for name in wanted}
    except (FileNotFoundError, UnreadableArraysError):
        raise
    except Exception as error:  # whatever zipfile, zlib and numpy raise on damaged files
        raise UnreadableArraysError(f"{type(error).__name__}: {str(error)[:120]}") from error


def _read(file: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    if info.flag_bits & _ENCRYPTED or info.compress_type not in _PACKED:
        raise UnreadableArraysError(f"{info.filename[:60]!r} is encrypted or packed otherwise")
    data = io.BytesIO(file.read(info))
    version = npy.read_magic(data)
    if version not in _HEADERS:
        raise UnreadableArraysError(f"{info.filename[:60]!r} has .npy format {version}")
    shape, _, dtype = _HEADERS[version](data)
    begins, size = data.tell(), 1
    for length in shape:  # of Python's numbers, which do not overflow
        size *= length
    if len(shape) > _MOST_DIMENSIONS or size * dtype.itemsize != info.file_size - begins:
        raise UnreadableArraysError(
            f"{info.filename[:60]!r} says that it holds {str(shape)[:60]} of {dtype}, and does not"
        )
    data.seek(0)
    return npy.read_array(data, allow_pickle=False)
