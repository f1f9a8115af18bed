"""What the masker takes and refuses: camera encodings, arrays, picture files, references."""

from __future__ import annotations

import dataclasses
import importlib
from types import SimpleNamespace
from typing import Any

import cv2
import masking_fixtures as small
import numpy as np
import property_fixtures as drawn
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from property_fixtures import check, examples

from samg_ros import images
from samg_ros.errors import ImageError, InvalidReferenceError
from samg_ros.masking.reference import Reference, Target, View

ROOMS = ("samg_ros.images", "samg_ros.ros.images")


pytestmark = pytest.mark.usefixtures("one_thread")


def message(room: str, encoding: str, pixels: np.ndarray, padding: int, big: bool) -> Any:
    """Pixels [H, W, C] as a message whose rows end in ``padding`` bytes of rubbish."""
    rows = pixels.astype(pixels.dtype.newbyteorder(">" if big else "<"))
    data = b"".join(row.tobytes() + b"\xa5" * padding for row in rows)
    height, width = pixels.shape[:2]
    make = SimpleNamespace
    if room == "samg_ros.ros.images":
        reason = "sensor_msgs cannot be imported: install the extra [ros] or source ROS 2"
        make = pytest.importorskip("sensor_msgs.msg", reason=reason).Image
    return make(
        encoding=encoding,
        height=height,
        width=width,
        step=len(data) // height,
        is_bigendian=big,
        data=data,
    )


# A function: hypothesis takes the instances of a class, one for each room, for other tests.
@pytest.mark.parametrize("room", ROOMS)
@examples(20)
@given(
    encoding=st.sampled_from(sorted(images.ENCODINGS)),
    kind=st.sampled_from(["noise", "constant", "least", "most"]),
    height=drawn.sides,
    width=drawn.sides,
    padding=st.integers(0, 9),
    big=st.booleans(),
    family=st.sampled_from(drawn.FAMILIES),
)
def test_any_encoding(room, encoding, kind, height, width, padding, big, family):
    known = images.ENCODINGS[encoding]
    size = height, width + width % 2 * (known.channels == 2), known.channels
    least, most = 0, np.iinfo(known.dtype).max
    rng = np.random.default_rng(height)
    pixels = rng.integers(least, most, size, known.dtype, endpoint=True)
    if kind != "noise":
        pixels[:] = {"least": least, "most": most}.get(kind, pixels[0, 0])
    msg = message(room, encoding, pixels, padding, big)
    rgb = importlib.import_module(room).to_rgb(msg)
    assert rgb.dtype == np.uint8 and rgb.shape == (*size[:2], 3)
    if kind in ("least", "most") and known.channels != 2:  # two are brightness and colour
        assert (rgb == (0 if kind == "least" else 255)).all()
    masker = drawn.masker(family, "best", 1, "near")
    frames = torch.from_numpy(rgb.copy())[None]
    check(masker(frames), frames, masker.config, 1)
    assert masker.mask_frames([("", rgb)])[0].mask.shape == size[:2]


@st.composite
def shots(draw: st.DrawFn) -> tuple[str, np.ndarray, int, bool]:
    """What a camera may send: encoding, pixels [H, W, C], padding of rows in bytes, big-endian."""
    encoding = draw(st.sampled_from(sorted(images.ENCODINGS)))
    known = images.ENCODINGS[encoding]
    height, width = draw(drawn.sides), draw(drawn.sides)
    width += width % 2 * (known.channels == 2)  # pairs of pixels share their colour
    rng = np.random.default_rng(draw(drawn.seeds))
    most = np.iinfo(known.dtype).max
    pixels = rng.integers(most, size=(height, width, known.channels), dtype=known.dtype)
    kind = draw(st.sampled_from(["noise", "constant", "least", "most"]))
    if kind != "noise":
        pixels[:] = {"least": 0, "most": most}.get(kind, pixels[0, 0])
    return encoding, pixels, draw(st.integers(0, 9)), draw(st.booleans())


@pytest.mark.parametrize("room", ROOMS)
class TestEncodings:
    """One to four channels of 8 or 16 bits."""

    @examples(100)
    @given(shots())
    def test_become_rgb(self, room, shot):
        encoding, pixels, _, _ = shot
        rgb = importlib.import_module(room).to_rgb(message(room, *shot))
        assert rgb.dtype == np.uint8 and rgb.shape == (*pixels.shape[:2], 3)
        if (pixels == pixels[0, 0]).all():
            assert (rgb == rgb[0, 0]).all()
            value, most = int(pixels[0, 0, 0]), np.iinfo(pixels.dtype).max
            if value in (0, most) and images.ENCODINGS[encoding].channels != 2:
                assert rgb[0, 0].tolist() == [255 * value // most] * 3

    @examples(10)
    @given(shots(), st.sampled_from(drawn.FAMILIES))
    def test_are_masked(self, room, shot, family):
        rgb = importlib.import_module(room).to_rgb(message(room, *shot))
        masker = drawn.masker(family, "best", 1, "near")
        frames = torch.from_numpy(rgb.copy())[None]
        check(masker(frames), frames, masker.config, 1)
        assert masker.mask_frames([("", rgb)])[0].mask.shape == rgb.shape[:2]

    @pytest.mark.parametrize("encoding", ["16UC1", "32FC1", "32FC3", "64FC4"])
    def test_depth_is_refused(self, room, encoding: str):
        """NaN or 0 in it means "nothing measured", and distances have no colour."""
        dtype = np.dtype(f"{encoding[2].lower()}{int(encoding[:2]) // 8}")
        nothing = 0 if encoding == "16UC1" else np.nan
        pixels = np.full((20, 30, int(encoding[-1])), nothing, dtype)
        with pytest.raises(ImageError, match=f"'{encoding}' holds no colours; publish one of"):
            importlib.import_module(room).to_rgb(message(room, encoding, pixels, 0, False))


class TestRefusals:
    @examples(20)
    @given(
        st.sampled_from(["f2", "f4", "f8", "i2", "i4", "u2", "?"]),
        st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 1.0]),
        st.integers(1, 4),
    )
    def test_frames_of_other_numbers(self, dtype: str, value: float, channels: int):
        """In [0, 1] or in [0, 255], with NaN or without: nobody could tell."""
        with np.errstate(invalid="ignore"):
            frame = np.full((16, 20, channels), value).astype(dtype)
        masker = drawn.masker("sam", "best", 1, "near")
        with pytest.raises(
            ImageError, match=r"^the picture is \w+ \[1, 16, 20, \d\]; give RGB, uint8"
        ):
            masker(torch.from_numpy(frame)[None])
        with pytest.raises(ImageError, match="give RGB, uint8"):
            masker.mask_frames([("", frame)])

    @pytest.mark.parametrize(
        ("shape", "reason"),
        [
            ((30, 40), "give RGB"),
            ((3, 30, 40), "give RGB"),
            ((1, 1, 30, 40, 3), "give RGB"),
            ((1, 30, 40), "give RGB"),
            ((1, 3, 30, 40), "give RGB"),
            ((1, 30, 40, 4), "give RGB"),
            ((0, 30, 40, 3), "no pixels"),
            ((1, 0, 40, 3), "no pixels"),
            ((1, 30, 0, 3), "no pixels"),
        ],
    )
    def test_frames_of_other_shapes(self, shape, reason: str):
        with pytest.raises(ImageError, match=reason):
            drawn.masker("sam", "best", 1, "near")(torch.zeros(shape, dtype=torch.uint8))

    @pytest.mark.parametrize("channels", [1, 3, 4])
    def test_pictures_of_floating_point_numbers(self, channels: int):
        pixels = np.full((20, 30, channels), 0.5, np.float32)
        pixels[3, 4] = np.nan
        data = cv2.imencode(".tiff", pixels)[1].tobytes()
        with pytest.raises(ImageError, match="pixels are float32; save it with 8 or 16 bits"):
            images.decode(data)

    def test_a_reference_without_targets(self):
        picture = small.scene(0, 20, 30)
        with pytest.raises(InvalidReferenceError, match="at least one view"):
            Reference(())
        with pytest.raises(InvalidReferenceError, match="at least one target with a mask"):
            Reference((View(picture, ()),))
        nothing = Target("ball", np.zeros((20, 30), bool), small.points())
        with pytest.raises(InvalidReferenceError, match="'ball' is empty: nothing to look for"):
            Reference((View(picture, (nothing,)),))

    def test_a_reference_of_floating_point_numbers(self):
        pixels = np.full((20, 30, 3), np.nan, np.float32)
        ball = Target("ball", small.disk(20, 30, 9, 9, 4), small.points())
        with pytest.raises(InvalidReferenceError, match=r"image is float32.*give RGB, uint8"):
            View(pixels, (ball,))
        astray = dataclasses.replace(ball, points=small.points((np.nan, 3)))
        with pytest.raises(InvalidReferenceError, match="points of target 'ball' are not all fin"):
            View(small.scene(0, 20, 30), (astray,))
