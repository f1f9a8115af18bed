"""One episode of a policy: what is to be run, and how it ended, wherever it was run."""

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
    "success": (bool, type(None)),
    "steps": int,
    "episode_return": _NUMBER,
    "mean_iou": (*_NUMBER, type(None)),
    "min_iou": (*_NUMBER, type(None)),
    "found": (*_NUMBER, type(None)),
    "learned_from": str,
}


@dataclass(frozen=True)
class Cell:
    """One combination of an evaluation, with ``policy`` and ``perturb`` as results call them;
    empty for episodes that are not part of one, such as those of a training."""

    task: str = ""
    policy: str = ""
    mask: str = ""
    perturb: str = ""

    def __str__(self) -> str:
        return f"{self.task}, {self.policy}, masks {self.mask}, {self.perturb}"


@dataclass(frozen=True)
class Episode:
    """An episode that is to be run."""

    cell: Cell
    seed: int


@dataclass(frozen=True)
class Timing:
    """How fast an episode ran through the nodes. ``latency``: from publishing a frame to
    receiving its command, in the bridge. ``timed_out``: it was given up."""

    frames_per_s: float
    latency_p50_ms: float
    latency_p95_ms: float
    timed_out: bool = False


@dataclass(frozen=True)
class EpisodeRecord:
    """A finished episode.

    ``success`` is None for tasks that only have a return. ``steps``: control steps to the first
    success or the task's limit. ``episode_return``: the sum of rewards up to there. ``mean_iou``,
    ``min_iou``: over the frames, of the masks against the simulator's own; ``found``: the share
    of frames in which every target was found; None where they were not scored. ``learned_from``:
    the pictures that the policy learned from, see :class:`samg_ros.robot.PolicySpec`.
    """

    seed: int
    success: bool | None
    steps: int
    episode_return: float
    mean_iou: float | None = None
    min_iou: float | None = None
    found: float | None = None
    learned_from: str = "targets"
    cell: Cell = Cell()
    timing: Timing | None = None

    @property
    def episode(self) -> Episode:
        """What was to be run."""
        return Episode(self.cell, self.seed)

    @property
    def success_step(self) -> int | None:
        """The control step of the first success, None without one."""
        return self.steps if self.success else None

    def to_json(self) -> dict[str, Any]:
        """One flat table; how fast it was is not kept."""
        table = {**asdict(self.cell), **vars(self)}
        return {name: table[name] for name in _TYPES}

    @classmethod
    def from_json(cls, table: Any) -> EpisodeRecord:
        """:raises ConfigError: an entry is missing, unknown, or not what it must be."""
        if not isinstance(table, Mapping) or table.keys() != _TYPES.keys():
            raise ConfigError(f"an episode has exactly the entries {', '.join(_TYPES)}")
        for name, kind in _TYPES.items():
            if not isinstance(table[name], kind):
                raise ConfigError(f"an episode's {name} cannot be {table[name]!r}")
        cell = {name: table[name] for name in vars(Cell())}
        return cls(cell=Cell(**cell), **{k: v for k, v in table.items() if k not in cell})
