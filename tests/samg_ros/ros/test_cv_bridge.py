"""A distribution's own cv_bridge: used where there is one, for what it converts as we do."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_fixtures import (  # noqa: F401 - no_distribution is a fixture
    YUV,
    assert_same,
    images,
    message,
    no_distribution,
    plainly,
    random_pixels,
)

from samg_ros.errors import ImageError


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

    @pytest.mark.parametrize("encoding", [*YUV, "rgb16", "bgr16", "mono16"])
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
