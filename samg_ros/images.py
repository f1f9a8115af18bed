"""Pixels of image messages and files as arrays, without ROS; what a picture must be, and a mask
laid over it.

A message is anything with the fields of ``sensor_msgs/Image``: rclpy's own, or what rosbags reads
from a bag.
"""

from __future__ import annotations

import contextlib
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from samg_ros.errors import ImageError


class ImageMessage(Protocol):
    """The fields of ``sensor_msgs/Image`` that say how its pixels lie in memory."""

    height: int
    width: int
    encoding: str
    is_bigendian: Any
    step: int
    data: Any


@dataclass(frozen=True)
class Encoding:
    """How pixels lie in memory, and OpenCV's code to RGB (None: already RGB)."""

    dtype: str
    channels: int
    to_rgb: int | None


NO_PICTURE = "not a whole picture of a known format (PNG, JPEG, TIFF, WebP, BMP and the like)"
MOST_PIXELS = 64_000_000
"""Of a picture in a file or a compressed message; 192 MB once it is decoded."""

ENCODINGS: dict[str, Encoding] = {
    "rgb8": Encoding("u1", 3, None),
    "8UC3": Encoding("u1", 3, cv2.COLOR_BGR2RGB),
    "bgr8": Encoding("u1", 3, cv2.COLOR_BGR2RGB),
    "rgba8": Encoding("u1", 4, cv2.COLOR_RGBA2RGB),
    "bgra8": Encoding("u1", 4, cv2.COLOR_BGRA2RGB),
    "8UC4": Encoding("u1", 4, cv2.COLOR_BGRA2RGB),
    "mono8": Encoding("u1", 1, cv2.COLOR_GRAY2RGB),
    "8UC1": Encoding("u1", 1, cv2.COLOR_GRAY2RGB),
    "rgb16": Encoding("u2", 3, None),
    "bgr16": Encoding("u2", 3, cv2.COLOR_BGR2RGB),
    "mono16": Encoding("u2", 1, cv2.COLOR_GRAY2RGB),
    # OpenCV names a Bayer pattern after its second row, ROS after its first.
    "bayer_rggb8": Encoding("u1", 1, cv2.COLOR_BayerBG2RGB),
    "bayer_bggr8": Encoding("u1", 1, cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg8": Encoding("u1", 1, cv2.COLOR_BayerGR2RGB),
    "bayer_grbg8": Encoding("u1", 1, cv2.COLOR_BayerGB2RGB),
    "yuv422": Encoding("u1", 2, cv2.COLOR_YUV2RGB_UYVY),
    "uyvy": Encoding("u1", 2, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422_yuy2": Encoding("u1", 2, cv2.COLOR_YUV2RGB_YUY2),
    "yuyv": Encoding("u1", 2, cv2.COLOR_YUV2RGB_YUY2),
}
# Depth and the like: millimetres as 16UC1 (a grey picture is mono16), or signed or floating-point
# numbers of no fixed range, with NaN among them.
NO_COLOURS = re.compile(r"16UC1|(8S|16S|32S|32F|64F)C")


def check(msg: ImageMessage) -> Encoding:
    """How the message's pixels lie in memory.

    :raises ImageError: zero size, unknown encoding, a step too short, too little data, or a size
        that the encoding's pattern does not allow.
    """
    encoding = ENCODINGS.get(msg.encoding)
    if encoding is None:
        why = "holds no colours" if NO_COLOURS.match(msg.encoding) else "is not known"
        raise ImageError(
            f"image encoding {msg.encoding!r} {why}; publish one of: {', '.join(ENCODINGS)}"
        )
    if msg.height == 0 or msg.width == 0:
        raise ImageError(f"image is {msg.width}x{msg.height}: it has no pixels")
    _check_pattern(msg, encoding)
    row = msg.width * encoding.channels * np.dtype(encoding.dtype).itemsize
    if msg.step < row:
        raise ImageError(
            f"image step is {msg.step} bytes; {msg.width} {msg.encoding} pixels need {row}"
        )
    if len(msg.data) < msg.step * (msg.height - 1) + row:
        raise ImageError(
            f"image data has {len(msg.data)} bytes; {msg.height} rows of step {msg.step} need "
            f"{msg.step * msg.height}"
        )
    return encoding


def _check_pattern(msg: ImageMessage, encoding: Encoding) -> None:
    """Refuse sizes at which pixels that share their colours have no neighbours to share with."""
    if encoding.channels == 2 and msg.width % 2:
        raise ImageError(f"a {msg.encoding} image is {msg.width} wide: its pixels come in pairs")
    if msg.encoding.startswith("bayer") and min(msg.height, msg.width) < 3:
        raise ImageError(
            f"a {msg.encoding} image is {msg.width}x{msg.height}: it needs 3 pixels a side"
        )


def to_rgb(msg: ImageMessage) -> np.ndarray:
    """A message of any encoding in :data:`ENCODINGS` as uint8 [H, W, 3] RGB, contiguous.

    Rows may be padded (``step``), 16-bit pixels of either endianness are scaled by 1/257.

    :raises ImageError: as :func:`check`.
    """
    encoding = check(msg)
    pixels = view(msg, encoding)
    if encoding.dtype == "u2":
        pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if encoding.to_rgb is None:
        return np.ascontiguousarray(pixels)
    return cv2.cvtColor(np.ascontiguousarray(pixels), encoding.to_rgb)


def to_mask(msg: ImageMessage) -> np.ndarray:
    """A mono8 message as bool [H, W]; any value but 0 is on the target.

    :raises ImageError: another encoding, or malformed as in :func:`check`.
    """
    if msg.encoding not in ("mono8", "8UC1"):
        raise ImageError(f"a mask has encoding {msg.encoding!r}; publish it as mono8")
    return view(msg, check(msg)) > 0


def decode(data: bytes, *, upright: bool = False) -> np.ndarray:
    """A compressed picture (JPEG, PNG, ...) as uint8 [H, W, 3] RGB; alpha is dropped.

    :param data: a file's content, or the ``data`` of a ``sensor_msgs/CompressedImage``.
    :param upright: turn it as its EXIF says. Messages are left as the camera took them, like the
        camera's other topics.
    :raises ImageError: not a picture, one that is cut short, or one of floating-point numbers.
    """
    flags = cv2.IMREAD_COLOR if upright else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    return cv2.cvtColor(_decoded(data, flags), cv2.COLOR_BGR2RGB)


def decode_unchanged(data: bytes) -> np.ndarray:
    """A compressed picture as it is stored, [H, W] or [H, W, C] in OpenCV's order (BGR, BGRA).

    :raises ImageError: as :func:`decode`.
    """
    return _decoded(data, cv2.IMREAD_UNCHANGED)


def size_of(source: bytes | Path) -> tuple[int, int] | None:
    """(width, height) that a picture's header tells; None where its format is not known.

    Nothing is decoded, so that a picture that is too large costs nothing.
    """
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # our own limit is told in our own words
    file = source if isinstance(source, Path) else io.BytesIO(source)
    # Whatever reads a damaged header raises what it likes.
    with contextlib.suppress(Exception), Image.open(file) as image:
        return image.size
    with contextlib.suppress(Exception):
        return _tiff_size(source)
    return None


def _tiff_size(source: bytes | Path) -> tuple[int, int]:
    """Of a TIFF whose pixels Pillow has no name for, such as three floats each."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    with source.open("rb") if isinstance(source, Path) else io.BytesIO(source) as file:
        tags = ImageFileDirectory_v2(file.read(8))
        file.seek(tags.next)
        tags.load(file)
    return int(tags[256]), int(tags[257])


def check_size(source: bytes | Path) -> None:
    """:raises ImageError: by its header no picture, or one of more than :data:`MOST_PIXELS`."""
    size = size_of(source)
    if size is None:
        raise ImageError(NO_PICTURE)
    if size[0] * size[1] > MOST_PIXELS:
        raise ImageError(
            f"the picture has {size[0]}x{size[1]} pixels; at most {MOST_PIXELS:,} are read: make "
            "it smaller"
        )


def _decoded(data: bytes, flags: int) -> np.ndarray:
    content = np.frombuffer(data, np.uint8)
    check_size(bytes(data))
    try:
        pixels = cv2.imdecode(content, flags) if content.size else None
    except cv2.error as error:
        raise ImageError(f"the picture cannot be decoded: {error.err}") from error
    if pixels is None:
        kept = cv2.imdecode(content, cv2.IMREAD_UNCHANGED) if content.size else None
        if kept is not None and kept.dtype.kind == "f":
            raise ImageError(f"the picture's pixels are {kept.dtype}; save it with 8 or 16 bits")
        raise ImageError(NO_PICTURE)
    return pixels


def view(msg: ImageMessage, encoding: Encoding) -> np.ndarray:
    """A view [H, W] or [H, W, C] of the message's data, without the padding of its rows."""
    dtype = np.dtype((">" if msg.is_bigendian else "<") + encoding.dtype)
    shape: tuple[int, ...] = (msg.height, msg.width)
    strides: tuple[int, ...] = (msg.step, encoding.channels * dtype.itemsize)
    if encoding.channels > 1:
        shape, strides = (*shape, encoding.channels), (*strides, dtype.itemsize)
    return np.ndarray(shape, dtype, buffer=msg.data, strides=strides)


def check_rgb(pixels: Any, what: str = "the picture", *, batch: bool = False) -> None:
    """Refuse what is not RGB of 8 bits: other numbers have no agreed range, and may be NaN.

    :param pixels: an array or a tensor. :param batch: [B, H, W, 3] will do, too.
    :raises ImageError: not uint8 [H, W, 3] of at least one pixel.
    """
    shape, dtype = tuple(pixels.shape), str(pixels.dtype).removeprefix("torch.")
    if dtype != "uint8" or len(shape) not in (3, 4)[: 1 + batch] or shape[-1] != 3:
        batches = " or [batch, height, width, 3]" if batch else ""
        raise ImageError(
            f"{what} is {dtype} {list(shape)}; give RGB, uint8 [height, width, 3]{batches}"
        )
    if not all(shape):
        raise ImageError(f"{what} is {list(shape)}: it has no pixels")


def masked(rgb: Any, mask: Any) -> Any:
    """What a mask lets through, and black elsewhere.

    :param rgb: uint8 [..., H, W, 3]. :param mask: bool [..., H, W]. Both arrays, or both tensors.
    :return: as ``rgb``, a copy.
    """
    if not isinstance(rgb, np.ndarray):
        return rgb * mask[..., None]
    if rgb.ndim > 3:
        return np.stack([masked(*pair) for pair in zip(rgb, mask, strict=True)])
    # 20 times faster than np.where, which spreads the mask over the channels first.
    return cv2.copyTo(rgb, mask.view(np.uint8))
