"""Other colours of everything around, as DMC-GB's ``color_easy`` and ``color_hard``."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from samg_ros.errors import ConfigError, ImageError
from samg_ros.io.atomic import typed_path
from sim_bridge.perturbations.grammar import Kind, perturbations
from sim_bridge.perturbations.material import paint
from sim_bridge.render.parts import TaskParts

if TYPE_CHECKING:
    from sim_bridge.render.stage import Stage


@dataclass(frozen=True)
class Colors:
    """RGB float64 [3] in [0, 1]: two of the floor's squares, of the robot, and of the sky."""

    grid_rgb1: np.ndarray
    grid_rgb2: np.ndarray
    self_rgb: np.ndarray
    skybox_rgb: np.ndarray


SUITE = Colors(
    grid_rgb1=np.array([0.1, 0.2, 0.3]),
    grid_rgb2=np.array([0.2, 0.3, 0.4]),
    self_rgb=np.array([0.7, 0.5, 0.3]),
    skybox_rgb=np.array([0.4, 0.6, 0.8]),
)
"""dm_control's own."""

_COLOURS = 100  # of a table that is drawn; DMC-GB's have as many


def load(path: Path, name: str) -> list[Colors]:
    """Read a table of DMC-GB.

    :param path: the file, or the folder where it is called ``name``.pt.
    :raises ConfigError: no such file. :raises ImageError: it is not such a table.
    """
    import torch

    file = path / f"{name}.pt" if path.is_dir() else path
    if not file.is_file():
        raise ConfigError(
            f"no colour table {file}: give DMC-GB's {name}.pt, or its folder, or leave the path "
            f"out to have colours drawn"
        )
    try:
        with torch.serialization.safe_globals(_pickled_arrays()):
            entries = torch.load(file, map_location="cpu", weights_only=True)
        table = [_colors(entry) for entry in entries]
    except Exception as error:  # torch names no common class for what a bad file raises
        reason = error if isinstance(error, ValueError | KeyError) else type(error).__name__
        raise ImageError(
            f"{file} is not a colour table of DMC-GB ({reason}): fetch it anew"
        ) from error
    if not table:
        raise ImageError(f"the colour table {file} is empty: fetch it anew")
    return table


def draw(spread: float) -> list[Colors]:
    """A table about the suite's own colours, always the same.

    :param spread: how far brightness goes up and down, and half as far each channel.
    """
    rng = np.random.default_rng(0)

    def near(colour: np.ndarray) -> np.ndarray:
        brightness = 1 + rng.uniform(-spread, spread)
        return np.clip(colour * brightness + rng.uniform(-spread, spread, 3) / 2, 0, 1)

    table = []
    for _ in range(_COLOURS):
        dark = near(SUITE.grid_rgb1)
        light = np.clip(dark + 0.1, 0, 1)  # as far apart as the suite's, and DMC-GB's
        table.append(Colors(dark, light, near(SUITE.self_rgb), near(SUITE.skybox_rgb)))
    return table


def _pickled_arrays() -> list[Any]:
    """What numpy arrays of numbers are unpickled with, by the names that numpy 1 and 2 give."""
    rebuild = np.empty(0).__reduce__()[0]
    names = [f"numpy.{core}.multiarray._reconstruct" for core in ("core", "_core")]
    dtypes = [type(np.dtype(kind)) for kind in (np.float32, np.float64)]
    return [*((rebuild, name) for name in names), np.ndarray, np.dtype, *dtypes]


def _colors(entry: dict[str, np.ndarray]) -> Colors:
    colours = {field.name: np.asarray(entry[field.name], float) for field in fields(Colors)}
    for name, value in colours.items():
        if value.shape != (3,) or not ((value >= 0) & (value <= 1)).all():
            raise ValueError(f"{name} is {value}")
    return Colors(**colours)


_SPREAD = {"color_easy": 0.25, "color_hard": 0.6}
_SIDES = 6  # of a sky


class SceneColors:
    """Draws one set of colours a reset.

    A suite task gets all of them: the squares of its floor, the robot's material ``self``, and
    the sky. Elsewhere the ground gets those of the floor and the table that of the robot.
    """

    def __init__(self, table: list[Colors], parts: TaskParts) -> None:
        self._table, self._parts = table, parts
        self._colours = SUITE
        self._ground: np.ndarray | None = None
        self._sky: np.ndarray | None = None

    def draw(self, rng: np.random.Generator) -> None:
        """Choose a set."""
        self._colours = self._table[rng.integers(len(self._table))]
        self._ground = self._sky = None

    def apply(self, stage: Stage) -> None:
        for geom in stage.geoms(self._parts.ground):
            own = stage.own_texture(geom)
            paint(geom, self._colours.grid_rgb1 if own is None else np.ones(3))
            if own is not None:
                if self._ground is None:
                    self._ground = self._recoloured(own)
                stage.paints.lay(geom, "squares", self._ground)
        for geom in stage.geoms(self._parts.table):
            paint(geom, self._colours.self_rgb)
        if self._parts.suite_materials:
            for geom in stage.geoms_of_material("self"):
                paint(geom, self._colours.self_rgb)
            stage.paints.show_sky(self._sky_image(stage))

    def _recoloured(self, own: np.ndarray) -> np.ndarray:
        """The ground's texture with its two colours replaced, uint8 [S, S, 3]."""
        squares = own[1:-1, 1:-1]  # the border may have a mark of one of the two colours
        dark, light = _two_colours(squares)
        image = own.copy()
        image[1:-1, 1:-1][(squares == dark).all(-1)] = _bytes(self._colours.grid_rgb1)
        image[1:-1, 1:-1][(squares == light).all(-1)] = _bytes(self._colours.grid_rgb2)
        return image

    def _sky_image(self, stage: Stage) -> np.ndarray:
        """The suite's sky fades from its colour to black, with white stars in it."""
        if self._sky is None:
            own = stage.sky()
            ratio = self._colours.skybox_rgb / SUITE.skybox_rgb
            levels = np.clip(np.arange(256)[:, None] * ratio, 0, 255).round().astype(np.uint8)
            sky = cv2.LUT(own, levels[:, None])
            stars = own[..., 0] > _bytes(SUITE.skybox_rgb)[0] + 1
            sky[stars] = 255
            self._sky = _coarser(sky, stage.paints.SKY_SIZE)
        return self._sky


def _coarser(sky: np.ndarray, size: int) -> np.ndarray:
    """:param sky: uint8 [6 S, S, 3]. :return: with S = ``size``; more is slow to upload."""
    sides = np.split(sky, _SIDES)
    return np.concatenate(
        [cv2.resize(s, (size, size), interpolation=cv2.INTER_AREA) for s in sides]
    )


def _two_colours(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two most frequent ones, the darker first, uint8 [3] each."""
    packed = image.astype(np.uint32) @ np.array([1, 256, 65536], np.uint32)
    values, counts = np.unique(packed, return_counts=True)
    found = values[np.argsort(counts)[-2:]]
    colours = np.stack([found % 256, found // 256 % 256, found // 65536], axis=-1)
    ordered = colours[np.argsort(colours.sum(axis=-1))].astype(np.uint8)
    return ordered[0], ordered[-1]


def _bytes(colour: np.ndarray) -> np.ndarray:
    return (np.asarray(colour) * 255).round().astype(np.uint8)


def _make(name: str, argument: str, parts: TaskParts) -> SceneColors:
    if argument:
        return SceneColors(load(typed_path(argument), name), parts)
    return SceneColors(draw(_SPREAD[name]), parts)


def _fits(parts: TaskParts) -> bool:
    return bool(parts.ground or parts.table)


for _name in _SPREAD:
    perturbations.register(_name)(
        Kind(
            partial(_make, _name),
            "[=FILE or FOLDER]",
            "other colours of floor, robot and sky; of DMC-GB's table, or drawn",
            _fits,
            "a ground or a table",
            alone="give everything other colours",
        )
    )
