"""Images between messages and arrays: every encoding, padding, malformed messages."""

from __future__ import annotations

import struct
from typing import Any
from zlib import compress, crc32

import numpy as np
import pytest
from image_fixtures import (  # noqa: F401 - no_distribution is a fixture
    BAYER,
    CHANNELS,
    NO_ROS,
    YUV,
    assert_same,
    images,
    message,
    no_distribution,
    random_pixels,
)

import samg_ros.images
from samg_ros.errors import ImageError

Header: Any = pytest.importorskip("std_msgs.msg", reason=NO_ROS).Header


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


def claiming(width: int, height: int) -> bytes:
    """A PNG that says how large it is, with hardly any data behind it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", compress(b"\0" * 99))


def test_a_picture_that_claims_too_much_is_refused_by_its_header() -> None:
    for decoding in (samg_ros.images.decode, samg_ros.images.decode_unchanged):
        with pytest.raises(ImageError, match="30000x30000 pixels; at most 64,000,000"):
            decoding(claiming(30_000, 30_000))
    assert samg_ros.images.size_of(claiming(12, 7)) == (12, 7)
    assert samg_ros.images.size_of(b"no picture") is None
