"""Images between messages and arrays: every encoding, padding, malformed messages, cv_bridge."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samg_ros.errors import ImageError

NO_ROS = "sensor_msgs cannot be imported: install the extra [ros] or source a distribution"
Image: Any = pytest.importorskip("sensor_msgs.msg", reason=NO_ROS).Image
Header: Any = pytest.importorskip("std_msgs.msg", reason=NO_ROS).Header
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
    "16UC1": (0, 0, 0),
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


class TestToRgb:
    def test_every_encoding_is_checked_here(self):
        assert set(images.ENCODINGS) == {*CHANNELS, *BAYER, *YUV}

    @pytest.mark.parametrize("big", [False, True], ids=["little", "big"])
    @pytest.mark.parametrize("padding", [0, 1, 6])
    @pytest.mark.parametrize("encoding", images.ENCODINGS)
    def test_equals_the_plain_conversion(self, encoding: str, padding: int, big: bool):
        pixels = random_pixels(encoding)
        rgb = images.to_rgb(message(encoding, pixels, padding, big))
        assert_same(rgb, encoding, pixels)

    def test_16_bits_are_scaled_by_257(self):
        pixels = np.array([0, 1, 128, 129, 257, 32768, 65535], np.uint16).reshape(1, -1, 1)
        rgb = images.to_rgb(message("mono16", pixels))
        assert rgb[0, :, 0].tolist() == [0, 0, 0, 1, 1, 128, 255]

    @pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (9, 99, 200)])
    @pytest.mark.parametrize("encoding", BAYER)
    def test_a_plain_colour_comes_back_from_a_bayer_pattern(self, encoding: str, colour):
        pattern = ["RGB".index(letter) for letter in BAYER[encoding]]
        tile = np.array(colour, np.uint8)[pattern].reshape(2, 2)
        rgb = images.to_rgb(message(encoding, np.tile(tile, (3, 5))[..., None]))
        assert (rgb == np.array(colour)).all()

    def test_padding_of_the_last_row_may_be_missing(self):
        msg = message("rgb8", random_pixels("rgb8"), padding=6)
        msg.data = msg.data[:-6]
        assert_same(images.to_rgb(msg), "rgb8", random_pixels("rgb8"))

    def test_a_single_pixel(self):
        msg = message("bgr8", np.array([[[1, 2, 3]]], np.uint8))
        assert images.to_rgb(msg).tolist() == [[[3, 2, 1]]]

    @pytest.mark.parametrize("encoding", images.ENCODINGS)
    def test_the_message_stays_as_it_is(self, encoding: str):
        msg = message(encoding, random_pixels(encoding), padding=2)
        before = bytes(msg.data)
        images.to_rgb(msg)
        assert msg.encoding == encoding and bytes(msg.data) == before


class TestMalformed:
    @pytest.mark.parametrize("convert", [images.to_rgb, images.to_mask])
    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            pytest.param({"width": 0}, "is 0x6: it has no pixels", id="no columns"),
            pytest.param({"height": 0}, "is 10x0: it has no pixels", id="no rows"),
            pytest.param({"step": 9}, "step is 9 bytes; 10 mono8 pixels need 10", id="step"),
            pytest.param({"step": 0}, "step is 0 bytes; 10 mono8 pixels need 10", id="no step"),
            pytest.param({"data": b""}, "has 0 bytes; 6 rows of step 10 need 60", id="empty"),
            pytest.param({"data": bytes(59)}, "has 59 bytes; 6 rows", id="one byte less"),
            pytest.param({"height": 7}, "has 60 bytes; 7 rows of step 10 need 70", id="rows"),
            pytest.param({"width": 2**32 - 1}, "pixels need 4294967295", id="huge"),
        ],
    )
    def test_sizes_are_refused(self, convert, change: dict, reason: str):
        msg = message("mono8", random_pixels("mono8"))
        for name, value in change.items():
            setattr(msg, name, value)
        with pytest.raises(ImageError, match=reason):
            convert(msg)

    @pytest.mark.parametrize("encoding", images.ENCODINGS)
    def test_a_short_step_is_refused_in_every_encoding(self, encoding: str):
        msg = message(encoding, random_pixels(encoding))
        msg.step -= 1
        with pytest.raises(ImageError, match=f"step is {msg.step} bytes; 10 {encoding} pixels"):
            images.to_rgb(msg)

    @pytest.mark.parametrize("encoding", ["", "jpeg", "RGB8", "nv12"])
    def test_an_unknown_encoding_lists_the_known_ones(self, encoding: str):
        msg = message("mono8", random_pixels("mono8"))
        msg.encoding = encoding
        with pytest.raises(ImageError, match=f"'{encoding}' is not known; publish one of: rgb8"):
            images.to_rgb(msg)

    @pytest.mark.parametrize("encoding", ["32FC1", "32FC3", "64FC4", "16SC1", "32SC1"])
    def test_measurements_are_no_colours(self, encoding: str):
        msg = message("mono8", random_pixels("mono8"))
        msg.encoding = encoding
        with pytest.raises(ImageError, match=f"'{encoding}' holds no colours; publish one of:"):
            images.to_rgb(msg)

    def test_a_mask_in_colour_is_refused(self):
        with pytest.raises(ImageError, match="a mask has encoding 'rgb8'; publish it as mono8"):
            images.to_mask(message("rgb8", random_pixels("rgb8")))

    @pytest.mark.parametrize("encoding", YUV)
    def test_half_a_pair_of_yuv_pixels_is_refused(self, encoding: str):
        with pytest.raises(ImageError):
            images.to_rgb(message(encoding, random_pixels(encoding, 4, 5)))

    @pytest.mark.parametrize("size", [(2, 2), (2, 9), (9, 2), (1, 1)])
    def test_a_bayer_pattern_too_small_to_mix_is_refused(self, size: tuple[int, int]):
        with pytest.raises(ImageError):
            images.to_rgb(message("bayer_rggb8", np.full((*size, 1), 200, np.uint8)))


class TestToMessages:
    header = Header(frame_id="camera")
    header.stamp.sec, header.stamp.nanosec = 12, 345

    def test_rgb_survives_a_round_trip(self):
        rgb = random_pixels("rgb8")
        msg = images.from_rgb(rgb, self.header)
        assert (msg.encoding, msg.height, msg.width, msg.step) == ("rgb8", 6, 10, 30)
        assert not msg.is_bigendian and msg.header == self.header
        np.testing.assert_array_equal(images.to_rgb(msg), rgb)

    def test_masks_survive_a_round_trip(self):
        mask = random_pixels("mono8")[..., 0] > 99
        msg = images.from_mask(mask, self.header)
        assert (msg.encoding, msg.height, msg.width, msg.step) == ("mono8", 6, 10, 10)
        assert set(msg.data) == {0, 255} and msg.header == self.header
        back = images.to_mask(msg)
        assert back.dtype == np.bool_
        np.testing.assert_array_equal(back, mask)

    def test_arrays_need_not_be_contiguous(self):
        rgb = random_pixels("rgb8", 12, 20)[::2, ::-2, ::-1]
        np.testing.assert_array_equal(images.to_rgb(images.from_rgb(rgb, self.header)), rgb)
        mask = rgb[..., 0] > 99
        back = images.to_mask(images.from_mask(mask.T, self.header))
        np.testing.assert_array_equal(back, mask.T)

    def test_any_value_but_zero_is_on_the_mask_and_padding_is_not(self):
        msg = message("mono8", np.array([[[0], [1]], [[255], [0]]], np.uint8), padding=3)
        assert images.to_mask(msg).tolist() == [[False, True], [True, False]]


class Bridge:
    """Converts as ROS 2's cv_bridge does, with its limits; remembers what it was given."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def imgmsg_to_cv2(self, msg: Any, encoding: str) -> np.ndarray:
        self.seen.append((msg.encoding, encoding))
        # It takes rows for a whole number of pixels long, and their data for complete.
        channels = images.ENCODINGS[msg.encoding].channels
        row = msg.step // channels
        pixels = np.ndarray((msg.height, row, channels), np.uint8, buffer=msg.data)
        if msg.encoding.startswith("8UC"):
            raise TypeError(f"[{msg.encoding}] is not a color format. but [{encoding}] is.")
        return plainly(msg.encoding, pixels[:, : msg.width])


class TestCvBridge:
    @pytest.fixture
    def bridge(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bridge:
        """A sourced distribution with its cv_bridge."""
        bridge = Bridge()
        self.install(monkeypatch, tmp_path / "cv_bridge" / "__init__.py", bridge)
        monkeypatch.setenv("ROS_DISTRO", "kilted")
        return bridge

    @staticmethod
    def install(monkeypatch: pytest.MonkeyPatch, file: Path, bridge: Bridge) -> None:
        module: Any = types.ModuleType("cv_bridge")
        module.__file__, module.CvBridge = str(file), lambda: bridge
        monkeypatch.setitem(sys.modules, "cv_bridge", module)

    def test_a_distributions_own_is_used(self, bridge: Bridge):
        pixels = random_pixels("bgra8")
        assert_same(images.to_rgb(message("bgra8", pixels)), "bgra8", pixels)
        assert bridge.seen == [("bgra8", "rgb8")]

    def test_messages_are_checked_before(self, bridge: Bridge):
        msg = message("rgb8", random_pixels("rgb8"))
        msg.data = msg.data[:-1]
        with pytest.raises(ImageError):
            images.to_rgb(msg)
        assert not bridge.seen

    @pytest.mark.parametrize("encoding", [*YUV, "rgb16", "bgr16", "mono16", "16UC1"])
    def test_it_is_not_asked_for_what_it_does_otherwise(self, bridge: Bridge, encoding: str):
        pixels = random_pixels(encoding)
        assert_same(images.to_rgb(message(encoding, pixels)), encoding, pixels)
        assert not bridge.seen

    @pytest.mark.parametrize("padding", [0, 12])
    @pytest.mark.parametrize("encoding", images.ENCODINGS)
    def test_the_result_is_the_same(self, bridge: Bridge, encoding: str, padding: int):
        pixels = random_pixels(encoding)
        assert_same(images.to_rgb(message(encoding, pixels, padding)), encoding, pixels)

    def test_rows_padded_by_part_of_a_pixel_are_not_sheared(self, bridge: Bridge):
        pixels = random_pixels("rgb8")
        assert_same(images.to_rgb(message("rgb8", pixels, padding=2)), "rgb8", pixels)

    def test_padding_of_the_last_row_may_be_missing(self, bridge: Bridge):
        msg = message("rgb8", random_pixels("rgb8"), padding=6)
        msg.data = msg.data[:-6]
        assert_same(images.to_rgb(msg), "rgb8", random_pixels("rgb8"))

    def test_the_message_stays_as_it_is(self, bridge: Bridge):
        msg = message("8UC3", random_pixels("8UC3"))
        images.to_rgb(msg)
        assert msg.encoding == "8UC3"

    def test_not_without_a_sourced_distribution(self, bridge: Bridge, monkeypatch):
        monkeypatch.delenv("ROS_DISTRO")
        images.to_rgb(message("rgb8", random_pixels("rgb8")))
        assert not bridge.seen

    def test_not_the_wheel_inside_this_very_environment(
        self, bridge: Bridge, monkeypatch, tmp_path
    ):
        """The wheel of that name is ROS 1's."""
        monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
        monkeypatch.setattr(sys, "base_prefix", str(tmp_path / "usr"))
        site = tmp_path / "venv" / "lib" / "site-packages" / "cv_bridge" / "__init__.py"
        self.install(monkeypatch, site, bridge)
        images.to_rgb(message("rgb8", random_pixels("rgb8")))
        assert not bridge.seen

    def test_not_where_there_is_none(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("ROS_DISTRO", "kilted")
        monkeypatch.setitem(sys.modules, "cv_bridge", None)
        pixels = random_pixels("bgr8")
        assert_same(images.to_rgb(message("bgr8", pixels)), "bgr8", pixels)
