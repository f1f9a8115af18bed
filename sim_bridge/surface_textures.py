"""Textures after what a benchmark says of its own: wood, flowers, fleece, stripes, chaos.

Each is drawn from a generator, square, and tiles without a seam, as those of ``textures``.
"""

from __future__ import annotations

import colorsys

import cv2
import numpy as np

from sim_bridge.textures import SIZE, random_texture, smooth_field

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
