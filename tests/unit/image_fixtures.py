"""Messages with images of every encoding, and what they hold, converted pixel by pixel."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

NO_ROS = "sensor_msgs cannot be imported: install the extra [ros] or source a distribution"
Image: Any = pytest.importorskip("sensor_msgs.msg", reason=NO_ROS).Image
images: Any = importlib.import_module("samg_ros.ros.images")

HEIGHT, WIDTH = 6, 10

# Where red, green and blue lie within a pixel of the encodings that hold them one by one.
CHANNELS = {
    "rgb8": (0, 1, 2),
    "rgb16": (0, 1, 2),
    "rgba8": (0, 1, 2),
    "bgr8": (2, 1, 0),
    "bgr16": (2, 1, 0),
    "bgra8": (2, 1, 0),
    "8UC3": (2, 1, 0),
    "8UC4": (2, 1, 0),
    "mono8": (0, 0, 0),
    "8UC1": (0, 0, 0),
    "mono16": (0, 0, 0),
}
# The colours of the first two pixels of the first two rows.
BAYER = {
    "bayer_rggb8": "RGGB",
    "bayer_bggr8": "BGGR",
    "bayer_gbrg8": "GBRG",
    "bayer_grbg8": "GRBG",
}
# Where Y of the even pixel, U, Y of the odd pixel and V lie within two pixels' four bytes.
YUV = {"uyvy": (1, 0, 3, 2), "yuv422": (1, 0, 3, 2), "yuyv": (0, 1, 2, 3)}
YUV["yuv422_yuy2"] = YUV["yuyv"]


@pytest.fixture(autouse=True)
def no_distribution(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As on a machine where no ROS distribution is sourced."""
    monkeypatch.delenv("ROS_DISTRO", raising=False)
    images._cv_bridge.cache_clear()
    yield
    images._cv_bridge.cache_clear()


def random_pixels(encoding: str, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Values as a camera might send them, [H, W, C]."""
    layout = images.ENCODINGS[encoding]
    rng = np.random.default_rng(0)
    dtype = np.dtype(layout.dtype)
    return rng.integers(
        np.iinfo(dtype).max + 1, size=(height, width, layout.channels), dtype=dtype
    )


def message(encoding: str, pixels: np.ndarray, padding: int = 0, big: bool = False) -> Any:
    """Pixels [H, W, C] as a message whose rows end in ``padding`` bytes of rubbish."""
    height, width = pixels.shape[:2]
    rows = pixels.astype(pixels.dtype.newbyteorder(">" if big else "<"))
    data = b"".join(row.tobytes() + b"\xa5" * padding for row in rows)
    step = len(data) // height
    return Image(
        encoding=encoding, height=height, width=width, step=step, is_bigendian=big, data=data
    )


def plainly(encoding: str, pixels: np.ndarray) -> np.ndarray:
    """Pixel by pixel, what ``to_rgb`` should give."""
    height, width = pixels.shape[:2]
    rgb = np.zeros((height, width, 3))
    for y in range(height):
        for x in range(width):
            if encoding in CHANNELS:
                rgb[y, x] = [pixels[y, x, channel] for channel in CHANNELS[encoding]]
            elif encoding in BAYER:
                rgb[y, x] = from_bayer(pixels[..., 0], BAYER[encoding], x, y)
            else:
                rgb[y, x] = from_yuv(pixels, YUV[encoding], x, y)
    if pixels.dtype == np.uint16:
        rgb /= 257
    return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)


def from_bayer(values: np.ndarray, pattern: str, x: int, y: int) -> list[float]:
    """Each colour: the pixel's own, or the mean of its neighbours that have it."""
    height, width = values.shape
    rgb = []
    for colour in "RGB":
        near = [(x, y)] if pattern[2 * (y % 2) + x % 2] == colour else []
        if not near:
            around = [(x + i, y + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
            near = [(i, j) for i, j in around if pattern[2 * (j % 2) + i % 2] == colour]
        inside = [values[j, i] for i, j in near if 0 <= i < width and 0 <= j < height]
        rgb.append(float(np.mean(inside)))
    return rgb


def from_yuv(pixels: np.ndarray, places: tuple[int, ...], x: int, y: int) -> list[float]:
    """ITU-R BT.601 with studio swing; two neighbours share their colour."""
    pair = pixels[y, x // 2 * 2 : x // 2 * 2 + 2].astype(float).ravel()
    luma = 1.164 * max(pair[places[2 * (x % 2)]] - 16, 0)
    u, v = pair[places[1]] - 128, pair[places[3]] - 128
    return [luma + 1.596 * v, luma - 0.813 * v - 0.391 * u, luma + 2.018 * u]


def assert_same(rgb: np.ndarray, encoding: str, pixels: np.ndarray) -> None:
    """Exactly; up to rounding where colours are mixed; a Bayer pattern less its border."""
    expected = plainly(encoding, pixels).astype(int)
    assert rgb.shape == expected.shape
    assert rgb.dtype == np.uint8 and rgb.flags.c_contiguous
    differences = np.abs(rgb - expected)
    if encoding in BAYER:
        differences = differences[1:-1, 1:-1]
    assert differences.max() <= (0 if encoding in CHANNELS else 2)
