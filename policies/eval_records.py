"""One finished episode of an evaluation, and what it was an episode of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from samg_ros.errors import ConfigError

_NUMBER = (int, float)
_TYPES: dict[str, type | tuple[type, ...]] = {
    "task": str,
    "policy": str,
    "mask": str,
    "perturb": str,
    "seed": int,
    "learned_from": str,
    "success": (bool, type(None)),
    "steps": int,
    "episode_return": _NUMBER,
    "mean_iou": (*_NUMBER, type(None)),
    "min_iou": (*_NUMBER, type(None)),
    "found": (*_NUMBER, type(None)),
}


@dataclass(frozen=True)
class Cell:
    """One combination. ``policy`` and ``perturb`` are what results call them."""

    task: str
    policy: str
    mask: str
    perturb: str

    def __str__(self) -> str:
        return f"{self.task}, {self.policy}, masks {self.mask}, {self.perturb}"


@dataclass(frozen=True)
class Episode:
    """An episode that is to be run."""

    cell: Cell
    seed: int


@dataclass(frozen=True)
class EpisodeRecord:
    """A finished episode.

    ``learned_from``: the pictures that the policy learned from, see
    :class:`policies.base.PolicySpec`. ``success`` is None for tasks that only have a return.
    ``steps``: control steps to the first success or the task's limit. ``mean_iou``, ``min_iou``:
    over the frames, of SAM-G's masks against the simulator's own; ``found``: the share of frames
    in which every target was found.
    They are None where SAM-G was not asked, ``found`` also where it was not recorded.
    """

    episode: Episode
    success: bool | None
    steps: int
    episode_return: float
    mean_iou: float | None = None
    min_iou: float | None = None
    found: float | None = None
    learned_from: str = "targets"

    @property
    def cell(self) -> Cell:
        return self.episode.cell

    @property
    def seed(self) -> int:
        return self.episode.seed

    def to_json(self) -> dict[str, Any]:
        """One flat table."""
        own = {name: value for name, value in vars(self).items() if name != "episode"}
        return {**asdict(self.cell), "seed": self.seed, **own}

    @classmethod
    def from_json(cls, table: Any) -> EpisodeRecord:
        """:raises ConfigError: an entry is missing, unknown, or not what it must be."""
        if not isinstance(table, Mapping) or table.keys() != _TYPES.keys():
            raise ConfigError(f"an episode has exactly the entries {', '.join(_TYPES)}")
        for name, kind in _TYPES.items():
            if not isinstance(table[name], kind):
                raise ConfigError(f"an episode's {name} cannot be {table[name]!r}")
        cell = Cell(table["task"], table["policy"], table["mask"], table["perturb"])
        rest = {name: v for name, v in table.items() if name not in {*vars(cell), "seed"}}
        return cls(Episode(cell, table["seed"]), **rest)
