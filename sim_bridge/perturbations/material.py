"""Other surfaces: SegDAC's benchmark (arXiv 2508.09325) of table, ground and object."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from sim_bridge.perturbations import textures as surfaces
from sim_bridge.perturbations.grammar import Kind, intensity, perturbations
from sim_bridge.render.parts import Part, TaskParts

if TYPE_CHECKING:
    from sim_bridge.render.stage import Stage


# RGB in [0, 1] of a part's first and second half; the last stands for all that follow.
Colour = tuple[float, float, float]
_RED, _GREEN, _BLUE, _WHITE = (1.0, 0, 0), (0, 1.0, 0), (0, 0, 1.0), (1.0, 1.0, 1.0)
_COLOURS: dict[str, dict[str, list[Colour]]] = {
    "table": {"easy": [(0.980392157, 0.31372549, 0)], "medium": [_GREEN], "hard": [_BLUE]},
    "ground": {
        "easy": [(0.098039216, 0.098039216, 0.098039216)],
        "medium": [_GREEN],
        "hard": [_BLUE],
    },
    "object": {"easy": [_RED, _BLUE], "medium": [_BLUE, _GREEN], "hard": [_WHITE, _WHITE]},
}
# The benchmark's textures are pictures; these are drawn after what it says of them.
_TEXTURES: dict[str, dict[str, Callable[[np.random.Generator], np.ndarray]]] = {
    "table": {
        "easy": partial(surfaces.wood, surfaces.ORANGE),
        "medium": partial(surfaces.wood, surfaces.DARK),
        "hard": surfaces.chaos,
    },
    "ground": {"easy": surfaces.concrete, "medium": surfaces.flowers, "hard": surfaces.chaos},
    "object": {"easy": surfaces.stripes, "medium": surfaces.fleece, "hard": surfaces.chaos},
}
_GROUND_REPEATS = 2.0  # a metre


class PartColor:
    """Paints the halves of a part in one colour each; what was translucent stays so."""

    def __init__(self, halves: tuple[Part, ...], colours: list[Colour]) -> None:
        self._halves = halves
        self._colours = [colours[min(i, len(colours) - 1)] for i in range(len(halves))]

    def draw(self, rng: np.random.Generator) -> None:
        """Nothing to draw."""

    def apply(self, stage: Stage) -> None:
        for half, colour in zip(self._halves, self._colours, strict=True):
            for geom in stage.geoms(half):
                paint(geom, colour)


class PartTexture:
    """Covers the halves of a part with one generated texture, drawn at every reset.

    On the ground, which is a plane, it repeats; on others it is laid on each side.

    :param make: draws it, uint8 [S, S, 3].
    """

    def __init__(
        self,
        part: str,
        halves: tuple[Part, ...],
        make: Callable[[np.random.Generator], np.ndarray],
    ) -> None:
        self._part, self._halves, self._make = part, halves, make
        self._flat = part == "ground"
        self._image = np.zeros((1, 1, 3), np.uint8)

    def draw(self, rng: np.random.Generator) -> None:
        """Draw the texture."""
        self._image = self._make(rng)

    def apply(self, stage: Stage) -> None:
        for half in self._halves:
            for geom in stage.geoms(half):
                paint(geom, _WHITE)
                stage.paints.lay(geom, self._part, self._image)
                geom.texuniform = int(self._flat)
                geom.texrepeat[:] = _GROUND_REPEATS if self._flat else 1


def paint(geom: Any, colour: Colour | np.ndarray) -> None:
    """Give a ``mujoco.MjvGeom`` one colour, RGB in [0, 1], and no texture."""
    geom.rgba[:3] = colour
    # Where a geom names no texture, that of its material is drawn; it keeps the gloss it has.
    geom.texid = geom.matid = -1


def _halves(part: str, parts: TaskParts) -> tuple[Part, ...]:
    if part == "object":
        return parts.objects
    surface = parts.table if part == "table" else parts.ground
    return (surface,) if surface else ()


def _fits(part: str, parts: TaskParts) -> bool:
    return bool(_halves(part, parts)) and (part != "ground" or parts.ground_in_view)


def _color(part: str, argument: str, parts: TaskParts) -> PartColor:
    level = intensity(f"{part}_color", argument)
    return PartColor(_halves(part, parts), _COLOURS[part][level])


def _texture(part: str, argument: str, parts: TaskParts) -> PartTexture:
    level = intensity(f"{part}_texture", argument)
    return PartTexture(part, _halves(part, parts), _TEXTURES[part][level])


_NEEDS = {
    "table": "a table",
    "ground": "a ground that the default camera sees",
    "object": "an object that the robot handles",
}
for _part, _needs in _NEEDS.items():
    perturbations.register(f"{_part}_color")(
        Kind(
            partial(_color, _part),
            "=easy|medium|hard",
            f"other colours of the {_part}",
            partial(_fits, _part),
            _needs,
        )
    )
    perturbations.register(f"{_part}_texture")(
        Kind(
            partial(_texture, _part),
            "=easy|medium|hard",
            f"a drawn texture on the {_part}",
            partial(_fits, _part),
            _needs,
        )
    )
