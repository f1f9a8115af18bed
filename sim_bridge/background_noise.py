"""Backgrounds of moving procedural textures. For training; never evaluate a policy on them."""

from __future__ import annotations

import math

import cv2
import numpy as np

from samg_ros.errors import ImageError
from sim_bridge.textures import SIZE, random_texture, smooth_field


class NoiseBackground:
    """Two drifting textures, one seen through the holes of the other, whose colours drift too.

    Everything is drawn at the reset, so that a frame costs a crop, a resize and a blend.
    """

    def __init__(self) -> None:
        self._layers: list[_Layer] = []

    def reset(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self._layers = [_Layer(rng, random_texture(rng)) for _ in range(2)]
        hardness = rng.choice([2.0, 60.0])  # soft holes or cut-outs
        field = smooth_field(rng, rng.uniform(1.5, 2.5)) - rng.uniform(0.3, 0.7)
        holes = 127.5 * (1 + np.tanh(hardness * field))
        self._holes = _Layer(rng, holes.astype(np.uint8))
        self._tint = rng.uniform(-40, 40, 3)
        self._tint_period = rng.uniform(40, 200)  # steps

    def frame(self, index: int, height: int, width: int) -> np.ndarray:
        """:return: uint8 [height, width, 3]. :raises ImageError: never reset."""
        if not self._layers:
            raise ImageError("no background is chosen yet; call reset(seed) first")
        front, back = (layer.frame(index, height, width) for layer in self._layers)
        weight = self._holes.frame(index, height, width).astype(np.float32) / 255
        mixed = cv2.blendLinear(front, back, weight, 1 - weight)
        swing = math.sin(2 * math.pi * index / self._tint_period)
        tint = np.append(swing * self._tint, 0.0)  # cv2 adds a scalar of four channels to each
        return cv2.add(mixed, tint)


class _Layer:
    """A tileable texture seen through a moving window of fixed size.

    :param texture: uint8 [SIZE, SIZE] or [SIZE, SIZE, 3].
    """

    def __init__(self, rng: np.random.Generator, texture: np.ndarray) -> None:
        # Twice in each direction, so that a window is one slice wherever it begins.
        self._tiled = (
            np.tile(texture, (2, 2, 1)) if texture.ndim == 3 else np.tile(texture, (2, 2))
        )
        self._window = int(rng.integers(SIZE // 4, SIZE + 1))
        self._start = rng.uniform(0, SIZE, 2)
        self._velocity = rng.uniform(-2, 2, 2)  # texture pixels a step

    def frame(self, index: int, height: int, width: int) -> np.ndarray:
        top, left = ((self._start + index * self._velocity) % SIZE).astype(int)
        crop = self._tiled[top : top + self._window, left : left + self._window]
        return cv2.resize(crop, (width, height), interpolation=cv2.INTER_LINEAR)
