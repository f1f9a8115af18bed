"""Sets of colours for a whole scene: DMC-GB's tables, or drawn about the suite's own colours.

DMC-GB is Hansen & Wang (2021), "Generalization in reinforcement learning by soft data
augmentation", arXiv 2011.13389; its ``color_easy.pt`` and ``color_hard.pt`` hold 100 sets each.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from samg_ros.errors import ConfigError, ImageError


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
