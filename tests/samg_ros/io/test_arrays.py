"""Arrays of others: what a file says of itself is checked before anything is allocated."""

from __future__ import annotations

import contextlib
import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from samg_ros.io.arrays import UnreadableArraysError, read_arrays

HERE = {"a": np.arange(6.0).reshape(2, 3), "b": np.array(["x", "yz"]), "c": np.array(True)}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_writes(tmp_path: Path, save) -> None:
    save(tmp_path / "x.npz", **HERE)
    found = read_arrays(tmp_path / "x.npz")
    assert found.keys() == HERE.keys()
    for name, array in HERE.items():
        np.testing.assert_array_equal(found[name], array)
    assert read_arrays(tmp_path / "x.npz", ["c"]).keys() == {"c"}


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_arrays(tmp_path / "x.npz")


def npy(shape: str, dtype: str = "|u1", data: bytes = b"") -> bytes:
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}}}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def claims(path: Path, content: bytes, kind: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", kind) as file:
        file.writestr("a.npy", content)
    return path


@pytest.mark.parametrize(
    ("content", "kind", "reason"),
    [
        (npy("(1000000, 1000000)"), zipfile.ZIP_DEFLATED, "says that it holds"),
        (npy("(18446744073709551616,)"), zipfile.ZIP_DEFLATED, "says that it holds"),
        (npy("(4,)", data=b"abc"), zipfile.ZIP_DEFLATED, "says that it holds"),
        (npy("(" + "1," * 40 + ")", data=b"a"), zipfile.ZIP_DEFLATED, "says that it holds"),
        (npy("(1,)", "|O", b"12345678"), zipfile.ZIP_DEFLATED, "ValueError"),
        (npy("(-1,)"), zipfile.ZIP_DEFLATED, "says that it holds|Error"),
        (npy("(1,)", data=b"a"), zipfile.ZIP_LZMA, "packed otherwise"),
        (b"", zipfile.ZIP_DEFLATED, "ValueError"),
    ],
)
def test_what_lies_about_itself(tmp_path: Path, content: bytes, kind: int, reason: str) -> None:
    with pytest.raises(UnreadableArraysError, match=reason):
        read_arrays(claims(tmp_path / "x.npz", content, kind))


def test_more_than_is_allowed(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", a=np.zeros(10_000, np.uint8))
    with pytest.raises(UnreadableArraysError, match="more than 9,000 bytes"):
        read_arrays(tmp_path / "x.npz", most_bytes=9_000)


def test_an_encrypted_member(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("a.npy", npy("(1,)", data=b"a"))
    data = bytearray(buffer.getvalue())
    for sign in (b"PK\x03\x04", b"PK\x01\x02"):
        at = data.index(sign) + (6 if sign.endswith(b"\x04") else 8)
        data[at] |= 1
    (tmp_path / "x.npz").write_bytes(data)
    with pytest.raises(UnreadableArraysError, match="encrypted"):
        read_arrays(tmp_path / "x.npz")


@pytest.mark.parametrize("seed", range(20))
def test_a_flipped_bit_is_an_error_of_ours_or_harmless(tmp_path: Path, seed: int) -> None:
    path, rng = tmp_path / "x.npz", np.random.default_rng(seed)
    np.savez_compressed(path, **HERE)
    whole = path.read_bytes()
    for _ in range(50):
        data = bytearray(whole)
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        path.write_bytes(data)
        with contextlib.suppress(UnreadableArraysError):
            read_arrays(path)
