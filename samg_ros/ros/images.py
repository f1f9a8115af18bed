"""Images between ROS messages and arrays: the one place where both worlds meet.

Messages are checked first, whoever sent them. On a machine with a sourced ROS 2 the distribution's
own ``cv_bridge`` converts; elsewhere numpy and OpenCV do, with the same result.
"""

from __future__ import annotations

import array
import importlib
import os
import sys
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from sensor_msgs.msg import Image

from samg_ros.errors import ImageError


@dataclass(frozen=True)
class Encoding:
    """How pixels lie in memory, and OpenCV's code to RGB (None: already RGB)."""

    dtype: str
    channels: int
    to_rgb: int | None


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
    "16UC1": Encoding("u2", 1, cv2.COLOR_GRAY2RGB),
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


def to_rgb(msg: Image) -> np.ndarray:
    """A message of any encoding in :data:`ENCODINGS` as uint8 [H, W, 3] RGB, contiguous.

    Rows may be padded (``step``), 16-bit pixels of either endianness are scaled by 1/257.

    :raises ImageError: zero size, unknown encoding, a step too short, too little data.
    """
    encoding = _check(msg)
    bridge = _cv_bridge()
    # cv_bridge does not know the newer YUV names, and scales 16 bits by clipping.
    if bridge is not None and encoding.dtype == "u1" and encoding.channels != 2:
        source = "bgr8" if msg.encoding == "8UC3" else msg.encoding
        return np.ascontiguousarray(bridge.imgmsg_to_cv2(_named(msg, source), "rgb8"))
    pixels = _pixels(msg, encoding)
    if encoding.dtype == "u2":
        pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if encoding.to_rgb is None:
        return np.ascontiguousarray(pixels)
    return cv2.cvtColor(np.ascontiguousarray(pixels), encoding.to_rgb)


def to_mask(msg: Image) -> np.ndarray:
    """A mono8 message as bool [H, W]; any value but 0 is on the target.

    :raises ImageError: another encoding, or malformed as in :func:`to_rgb`.
    """
    if msg.encoding not in ("mono8", "8UC1"):
        raise ImageError(f"a mask has encoding {msg.encoding!r}; publish it as mono8")
    return _pixels(msg, _check(msg)) > 0


def from_rgb(rgb: np.ndarray, header) -> Image:
    """uint8 [H, W, 3] RGB as an ``rgb8`` message with ``header`` (stamp and frame kept)."""
    return _message(rgb, "rgb8", header)


def from_mask(mask: np.ndarray, header) -> Image:
    """Bool [H, W] as a ``mono8`` message, 255 on the target."""
    return _message(mask.astype(np.uint8) * 255, "mono8", header)


def _message(pixels: np.ndarray, encoding: str, header) -> Image:
    msg = Image(header=header, encoding=encoding, is_bigendian=0)
    msg.height, msg.width = pixels.shape[:2]
    msg.step = pixels[0].nbytes
    # An array.array is taken over as it is; a numpy array would be copied element by element.
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(pixels).data.cast("B"))
    msg.data = data
    return msg


def _check(msg: Image) -> Encoding:
    encoding = ENCODINGS.get(msg.encoding)
    if encoding is None:
        raise ImageError(
            f"image encoding {msg.encoding!r} is not known; publish one of: {', '.join(ENCODINGS)}"
        )
    if msg.height == 0 or msg.width == 0:
        raise ImageError(f"image is {msg.width}x{msg.height}: it has no pixels")
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


def _pixels(msg: Image, encoding: Encoding) -> np.ndarray:
    """A view [H, W] or [H, W, C] of the message's data, without the padding of its rows."""
    dtype = np.dtype((">" if msg.is_bigendian else "<") + encoding.dtype)
    shape: tuple[int, ...] = (msg.height, msg.width)
    strides: tuple[int, ...] = (msg.step, encoding.channels * dtype.itemsize)
    if encoding.channels > 1:
        shape, strides = (*shape, encoding.channels), (*strides, dtype.itemsize)
    return np.ndarray(shape, dtype, buffer=msg.data, strides=strides)


def _named(msg: Image, encoding: str) -> Image:
    msg.encoding = encoding
    return msg


@cache
def _cv_bridge():
    """The sourced distribution's cv_bridge, or None.

    The ``cv-bridge`` wheel is ROS 1's and converts wrongly, so a copy in site-packages of this
    very environment is not taken.
    """
    if not os.environ.get("ROS_DISTRO"):
        return None
    try:
        module = importlib.import_module("cv_bridge")
    except ImportError:
        return None
    if str(module.__file__).startswith(sys.prefix) and sys.prefix != sys.base_prefix:
        return None
    return module.CvBridge()
