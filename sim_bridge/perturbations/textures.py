"""Procedural textures: square, tileable, in random colours; each family is one function."""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import cv2
import numpy as np

SIZE = 256
"""Rows and columns of every texture; it repeats without a seam in both directions."""


def random_texture(rng: np.random.Generator) -> np.ndarray:
    """A texture of a random family. :return: uint8 [SIZE, SIZE, 3]."""
    return _toned(rng, _FAMILIES[rng.integers(len(_FAMILIES))](rng))


def smooth_field(rng: np.random.Generator, exponent: float) -> np.ndarray:
    """Noise whose amplitude falls as 1 / frequency**exponent; photographs have about 1.

    Field (1987), "Relations between the statistics of natural images ...", J. Opt. Soc. Am. A 4.

    :return: float32 [SIZE, SIZE], spread over [0, 1] about 0.5.
    """
    frequency = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE)[None]) * SIZE
    frequency[0, 0] = np.inf  # no mean
    spectrum = np.fft.rfft2(rng.standard_normal((SIZE, SIZE))) / frequency**exponent
    field = np.fft.irfft2(spectrum, s=(SIZE, SIZE))
    return (0.5 * (1 + np.tanh(field / field.std()))).astype(np.float32)


def _photographic(rng: np.random.Generator) -> np.ndarray:
    """1/f noise whose channels agree in part, as those of photographs do."""
    shared = smooth_field(rng, rng.uniform(0.8, 1.4))
    mix = rng.uniform(0.0, 0.6)
    channels = [(1 - mix) * shared + mix * smooth_field(rng, 1.2) for _ in range(3)]
    low, high = np.sort(rng.uniform(0, 255, (2, 3)), axis=0)
    return (low + np.stack(channels, axis=-1) * (high - low)).astype(np.uint8)


def _clouds(rng: np.random.Generator) -> np.ndarray:
    return _coloured(rng, smooth_field(rng, rng.uniform(1.5, 3.0)))


def _grain(rng: np.random.Generator) -> np.ndarray:
    return _coloured(rng, smooth_field(rng, rng.uniform(0.0, 0.6)))


def _blobs(rng: np.random.Generator) -> np.ndarray:
    """Smooth noise cut into flat regions with hard edges."""
    levels = rng.integers(2, 6)
    field = smooth_field(rng, rng.uniform(1.5, 2.5))
    return _coloured(rng, np.floor(field * levels) / max(1, levels - 1))


def _stripes(rng: np.random.Generator) -> np.ndarray:
    """Parallel waves of whole periods, soft or hard, straight or bent."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    periods_y, periods_x = rng.integers(-16, 17, 2)
    bend = rng.uniform(0, 0.5) * smooth_field(rng, 2.5)
    wave = np.sin(2 * np.pi * (periods_y * y + periods_x * x + bend))
    hardness = rng.choice([1.0, 3.0, 50.0])
    return _coloured(rng, 0.5 * (1 + np.tanh(hardness * wave) / np.tanh(hardness)))


def _gradient(rng: np.random.Generator) -> np.ndarray:
    """A ramp that comes back, so that it tiles; some are nearly one colour."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    wave_y, wave_x = (
        np.cos(2 * np.pi * (y + rng.uniform())),
        np.cos(2 * np.pi * (x + rng.uniform())),
    )
    weight = rng.uniform()
    return _coloured(rng, 0.5 * (1 + weight * wave_y + (1 - weight) * wave_x))


def _boxes(rng: np.random.Generator) -> np.ndarray:
    """Overlapping rectangles of one colour each: straight edges and corners, as of furniture."""
    canvas = np.broadcast_to(rng.integers(0, 256, 3, np.uint8), (SIZE, SIZE, 3)).copy()
    for _ in range(rng.integers(3, 30)):
        height, width = rng.integers(8, SIZE // 2, 2)
        shift = tuple(rng.integers(0, SIZE, 2))
        canvas = np.roll(canvas, shift, axis=(0, 1))  # lets a rectangle cross the seam
        canvas[:height, :width] = rng.integers(0, 256, 3)
    return canvas


def _toned(rng: np.random.Generator, texture: np.ndarray) -> np.ndarray:
    """Fade by a random amount: random colours alone are gaudier than any room."""
    grey = texture.mean(axis=-1, keepdims=True)
    faded = grey + rng.uniform(0.0, 1.0) * (texture - grey)
    darkest, brightest = rng.uniform(-60, 60), rng.uniform(180, 320)
    return np.clip(darkest + faded / 255 * (brightest - darkest), 0, 255).astype(np.uint8)


def _coloured(rng: np.random.Generator, field: np.ndarray) -> np.ndarray:
    """Map a field in [0, 1] through a ramp of 2 to 5 random colours, to uint8 [..., 3]."""
    palette = rng.uniform(0, 255, (rng.integers(2, 6), 3))
    stops = np.linspace(0, 255, len(palette))
    ramp = np.stack([np.interp(np.arange(256), stops, channel) for channel in palette.T], axis=-1)
    return ramp.astype(np.uint8)[(np.clip(field, 0, 1) * 255).astype(np.uint8)]


_FAMILIES: tuple[Callable[[np.random.Generator], np.ndarray], ...] = (
    _photographic,
    _clouds,
    _grain,
    _blobs,
    _stripes,
    _gradient,
    _boxes,
)


ORANGE = ((150, 75, 25), (225, 140, 65))
DARK = ((40, 24, 15), (92, 58, 36))
"""Colours of a wood's dark and light rings, RGB."""

Colours = tuple[tuple[int, int, int], tuple[int, int, int]]


def wood(colours: Colours, rng: np.random.Generator) -> np.ndarray:
    """Boards with wavy grain along them. :return: uint8 [SIZE, SIZE, 3]."""
    y, x = _grid()
    boards = 4
    board = np.floor(y * boards).astype(int)
    shift, tone = rng.uniform(0, 8, boards), rng.uniform(-0.15, 0.15, boards)
    bend = 1.5 * smooth_field(rng, 2.2) + 0.15 * np.sin(2 * np.pi * x)
    rings = 0.5 * (1 + np.sin(2 * np.pi * (10 * y + bend + shift[board])))
    fibre = cv2.blur(np.tile(smooth_field(rng, 0.4), (1, 3)), (41, 1))[:, SIZE : 2 * SIZE]
    light = np.clip(0.55 * rings + 1.2 * (fibre - 0.5) + 0.25 + tone[board], 0, 1)
    light[np.mod(y * boards, 1) < 3 * boards / SIZE] *= 0.3  # the gap between two boards
    return _between(colours, light)


def concrete(rng: np.random.Generator) -> np.ndarray:
    """Stained grey. :return: uint8 [SIZE, SIZE, 3]."""
    light = 0.7 * smooth_field(rng, 1.5) + 0.3 * smooth_field(rng, 0.3)
    return _between(((95, 95, 97), (185, 185, 183)), light)


def flowers(rng: np.random.Generator) -> np.ndarray:
    """Flowers of a few colours, scattered over a lawn. :return: uint8 [SIZE, SIZE, 3]."""
    grass = 0.5 * smooth_field(rng, 1.2) + 0.5 * smooth_field(rng, 0.2)
    image = _between(((25, 70, 20), (95, 150, 60)), grass)
    palette = [_vivid(rng) for _ in range(4)]
    reach = SIZE // 12
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1] / SIZE
    radius, direction = np.hypot(dy, dx), np.arctan2(dy, dx)
    for _ in range(45):
        # Rolling lets a flower, drawn in the corner, cross the seams.
        image = np.roll(image, tuple(rng.integers(0, SIZE, 2)), (0, 1))
        patch = image[: 2 * reach + 1, : 2 * reach + 1]
        size, petals = rng.uniform(0.035, 0.08), rng.integers(5, 9)
        waves = np.cos(petals * (direction + rng.uniform(0, 2 * np.pi)))
        patch[radius < size * (0.65 + 0.35 * waves)] = palette[rng.integers(len(palette))]
        patch[radius < 0.28 * size] = (250, 210, 40)
    return image


def stripes(rng: np.random.Generator) -> np.ndarray:
    """Slanting stripes of red and blue. :return: uint8 [SIZE, SIZE, 3]."""
    y, x = _grid()
    periods_x, periods_y = rng.integers(2, 5), rng.integers(-2, 3)
    wave = np.sin(2 * np.pi * (periods_x * x + periods_y * y + rng.uniform()))
    return np.where(wave[..., None] > 0, (200, 25, 30), (25, 50, 200)).astype(np.uint8)


def fleece(rng: np.random.Generator) -> np.ndarray:
    """Green wool in tufts. :return: uint8 [SIZE, SIZE, 3]."""
    angle = 6 * np.pi * smooth_field(rng, 1.6)
    curls = 0.5 * (1 + np.sin(angle + 14 * smooth_field(rng, 1.4)))
    light = 0.6 * curls + 0.4 * smooth_field(rng, 0.5)
    return _between(((20, 80, 25), (150, 220, 120)), light)


def chaos(rng: np.random.Generator) -> np.ndarray:
    """Vivid shapes of all kinds over each other. :return: uint8 [SIZE, SIZE, 3]."""
    image = random_texture(rng).copy()
    for _ in range(60):
        # Rolling lets what is drawn in the middle cross the seams.
        image = np.ascontiguousarray(np.roll(image, tuple(rng.integers(0, SIZE, 2)), (0, 1)))
        _draw_shape(rng, image)
    return image


def _draw_shape(rng: np.random.Generator, image: np.ndarray) -> None:
    """One filled shape or stroke around the middle, at most a third of the picture wide."""
    colour = tuple(int(c) for c in _vivid(rng))
    middle, reach = (SIZE // 2, SIZE // 2), int(rng.integers(SIZE // 24, SIZE // 6))
    kind = rng.integers(4)
    if kind == 0:
        cv2.circle(image, middle, reach, colour, int(rng.choice([-1, 4])))
    elif kind == 1:
        axes = (reach, max(2, reach // 3))
        cv2.ellipse(image, middle, axes, float(rng.uniform(0, 180)), 0, 360, colour, -1)
    elif kind == 2:
        corners = SIZE // 2 + rng.integers(-reach, reach + 1, (int(rng.integers(3, 6)), 2))
        cv2.fillPoly(image, [corners.astype(np.int32)], colour)
    else:
        ends = SIZE // 2 + rng.integers(-reach, reach + 1, (2, 2))
        cv2.line(image, tuple(map(int, ends[0])), tuple(map(int, ends[1])), colour, reach // 4 + 1)


def _vivid(rng: np.random.Generator) -> np.ndarray:
    """A strong colour. :return: uint8 [3]."""
    colour = colorsys.hsv_to_rgb(rng.uniform(), rng.uniform(0.6, 1), rng.uniform(0.6, 1))
    return np.array([round(255 * channel) for channel in colour], np.uint8)


def _grid() -> tuple[np.ndarray, np.ndarray]:
    """Row and column in [0, 1), float64 [SIZE, SIZE] each."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    return y, x


def _between(colours: Colours, light: np.ndarray) -> np.ndarray:
    """:param light: in [0, 1]. :return: uint8 [SIZE, SIZE, 3], from the first colour on."""
    dark, bright = np.array(colours, float)
    return (dark + np.clip(light, 0, 1)[..., None] * (bright - dark)).astype(np.uint8)
