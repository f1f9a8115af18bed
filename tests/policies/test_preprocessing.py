"""What a network is shown: sizes, values, order of frames, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from policies.preprocessing import FrameStack, StudentPreprocessing, centre_square
from samg_ros.errors import ConfigError, ImageError
from sim_bridge.experts.state import Normalizer
from sim_bridge.scenes.views import area_resize


def test_area_resize_averages_a_one_pixel_line_instead_of_losing_it() -> None:
    image = np.zeros((256, 256, 3), np.uint8)
    image[:, 101] = 255
    small = area_resize(image, 84)
    assert small.shape == (84, 84, 3) and small.dtype == np.uint8
    # The line's light is spread over one or two columns and none of it vanishes.
    np.testing.assert_allclose(small[0, :, 0].sum(), 255 * 84 / 256, atol=2)


def test_frame_keeps_rgb_order() -> None:
    image = np.zeros((256, 256, 3), np.uint8)
    image[..., 0] = 200
    frame = StudentPreprocessing(84, 3, Normalizer((0.0,), (1.0,))).frame(image)
    assert frame.shape == (3, 84, 84)
    assert frame[0].min() == 200 and not frame[1:].any()


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (np.zeros((256, 256), np.uint8), "uint8"),
        (np.zeros((256, 256, 4), np.uint8), "uint8"),
        (np.zeros((256, 256, 3), np.float32), "float32"),
        (np.zeros((480, 640, 3), np.uint8), "640x480"),
        (np.zeros((64, 64, 3), np.uint8), "at least 84"),
    ],
)
def test_unusable_images_are_refused(image: np.ndarray, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        area_resize(image, 84)


def test_stack_repeats_its_first_frame_and_is_oldest_first() -> None:
    stack = FrameStack(3)
    frames = [np.full((3, 2, 2), value, np.uint8) for value in range(5)]
    assert stack.push(frames[0])[::3, 0, 0].tolist() == [0, 0, 0]
    assert stack.push(frames[1])[::3, 0, 0].tolist() == [0, 0, 1]
    stack.push(frames[2])
    assert stack.push(frames[3])[::3, 0, 0].tolist() == [1, 2, 3]
    stack.reset()
    assert stack.push(frames[4])[::3, 0, 0].tolist() == [4, 4, 4]


def test_a_stack_with_a_gap_takes_every_other_frame() -> None:
    stack = FrameStack(3, gap=2)
    stacks = [stack.push(np.array([value])).tolist() for value in range(6)]
    assert stacks == [[0, 0, 0], [0, 0, 1], [0, 0, 2], [0, 1, 3], [0, 2, 4], [1, 3, 5]]


def test_normalizer_is_fitted_and_does_not_blow_up_what_never_moved() -> None:
    values = np.stack([np.arange(10.0), np.full(10, 3.0)], axis=1)
    normalizer = Normalizer.fit(values, floor=0.01)
    normal = normalizer(values)
    assert normal.dtype == np.float32
    np.testing.assert_allclose(normal[:, 0].std(), 1, rtol=1e-5)
    np.testing.assert_allclose(normalizer(np.array([0.0, 3.01]))[1], 1, rtol=1e-4)


def test_normalizer_refuses_other_sizes_and_zero_deviations() -> None:
    with pytest.raises(ConfigError, match="expects 2 values"):
        Normalizer((0.0, 0.0), (1.0, 1.0))(np.zeros(3))
    with pytest.raises(ConfigError, match="positive"):
        Normalizer((0.0,), (0.0,))


@pytest.mark.parametrize(("height", "width"), [(4, 9), (9, 4), (5, 5)])
def test_the_square_around_the_middle(height: int, width: int) -> None:
    rows, columns = np.indices((height, width))
    cut = centre_square(np.stack([rows, columns], axis=2))
    side = min(height, width)
    assert cut.shape == (side, side, 2)
    for axis, length in enumerate((height, width)):
        edges = cut[..., axis].min(), length - 1 - cut[..., axis].max()
        assert abs(edges[0] - edges[1]) <= 1
