"""Procedural textures: square, tileable, in random colours; each family is one function."""

from __future__ import annotations

from collections.abc import Callable

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
