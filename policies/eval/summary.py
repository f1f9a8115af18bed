"""Rows of results: one for each combination, and one for each setting over all tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from policies.episode import Cell, EpisodeRecord
from policies.eval.config import CLEAN, MASKS
from samg_ros.statistics import Estimate, Interval, estimate, ratio

ALL = "all tasks"


@dataclass(frozen=True)
class Row:
    """What the episodes of one combination amount to.

    ``success``: as a share in [0, 1], None for tasks that only have a return. ``score_ratio``:
    :func:`score_ratio` to :func:`base_of`; None where that is not known, or is this very
    combination. ``failed``: seeds of episodes without success.
    ``mean_iou``: over episodes; ``min_iou``: of the worst frame. ``episodes``: their number.
    """

    cell: Cell
    episodes: int
    success: Estimate | None
    episode_return: Estimate
    score_ratio: Interval | None
    failed: tuple[int, ...]
    mean_iou: float | None
    min_iou: float | None
    found: float | None


@dataclass(frozen=True)
class Overall:
    """One setting over all tasks: the scores of its episodes, each as a share of its task's
    ``score_ratio`` base. ``cell.task`` is ``all tasks``."""

    cell: Cell
    tasks: int
    episodes: int
    score: Estimate


def rows_of(records: Sequence[EpisodeRecord]) -> list[Row]:
    """A row for each combination. Tasks and perturbations in the order of their first episodes;
    what is to be compared stands together, in an order that does not depend on which ended first.
    """
    by_cell = by_combination(records)
    tasks = list(dict.fromkeys(cell.task for cell in by_cell))
    perturbations = list(dict.fromkeys(cell.perturb for cell in by_cell))

    def place(cell: Cell) -> tuple[int, int, int, str]:
        return (
            tasks.index(cell.task),
            perturbations.index(cell.perturb),
            MASKS.index(cell.mask) if cell.mask in MASKS else len(MASKS),
            cell.policy,
        )

    return [_row(cell, by_cell) for cell in sorted(by_cell, key=place)]


def by_combination(records: Iterable[EpisodeRecord]) -> dict[Cell, list[EpisodeRecord]]:
    """The episodes of each combination."""
    by_cell: dict[Cell, list[EpisodeRecord]] = {}
    for record in records:
        by_cell.setdefault(record.cell, []).append(record)
    return by_cell


def overall(records: Sequence[EpisodeRecord]) -> list[Overall]:
    """A row for each setting that several tasks have in common, on the seeds that they share.

    Tasks whose base is missing, or not positive on those seeds, are left out.
    """
    by_cell = by_combination(records)
    tasks = list(dict.fromkeys(cell.task for cell in by_cell))
    rows = []
    for setting in dict.fromkeys(replace(cell, task=ALL) for cell in by_cell):
        cells = [replace(setting, task=task) for task in tasks]
        pairs = [pair for cell in cells if (pair := _with_base(cell, by_cell))]
        seeds = [own.keys() & base.keys() for own, base in pairs]
        shared = sorted(set.intersection(*seeds)) if seeds else []
        columns = [column for own, base in pairs if (column := _shares(own, base, shared))]
        if len(columns) < 2:
            continue
        matrix = np.array(columns).T
        rows.append(Overall(setting, len(columns), matrix.size, estimate(matrix)))
    return rows


def score(record: EpisodeRecord) -> float:
    """Success as 0 or 1 where the task has it, else the return."""
    return record.episode_return if record.success is None else float(record.success)


def score_ratio(
    records: Iterable[EpisodeRecord], base: Iterable[EpisodeRecord]
) -> Interval | None:
    """Mean score by that of ``base``, over the seeds that both have: what their episodes begin
    with is the same then, however many more one of them has.

    :return: None without such seeds, or where the mean of ``base`` is not positive.
    """
    over, under = _by_seed(records), _by_seed(base)
    shared = sorted(over.keys() & under.keys())
    if not shared:
        return None
    return ratio(np.array([over[s] for s in shared]), np.array([under[s] for s in shared]))


def base_of(cell: Cell, by_cell: Mapping[Cell, Sequence[EpisodeRecord]]) -> Cell:
    """What a combination is compared with: the same policy in the same task as it is, with
    perfect masks; or as it learned, where that was without masks (a raw twin)."""
    learned_from = by_cell[cell][0].learned_from
    mask = "oracle" if learned_from == "targets" else learned_from
    return replace(cell, mask=mask, perturb=CLEAN)


def _row(cell: Cell, by_cell: Mapping[Cell, list[EpisodeRecord]]) -> Row:
    records = sorted(by_cell[cell], key=lambda record: record.seed)
    scores = np.array([score(record) for record in records])
    returns = np.array([record.episode_return for record in records])
    base = base_of(cell, by_cell)
    compared = base != cell and base in by_cell
    has_success = records[0].success is not None
    return Row(
        cell=cell,
        episodes=len(records),
        success=estimate(scores[:, None]) if has_success else None,
        episode_return=estimate(returns[:, None]),
        score_ratio=score_ratio(records, by_cell[base]) if compared else None,
        failed=tuple(record.seed for record in records if record.success is False),
        mean_iou=_mean([record.mean_iou for record in records]),
        min_iou=min((r.min_iou for r in records if r.min_iou is not None), default=None),
        found=_mean([record.found for record in records]),
    )


def _with_base(
    cell: Cell, by_cell: Mapping[Cell, Sequence[EpisodeRecord]]
) -> tuple[dict[int, float], dict[int, float]] | None:
    """A combination's scores and its base's, by seed."""
    if cell not in by_cell or (base := base_of(cell, by_cell)) not in by_cell:
        return None
    return _by_seed(by_cell[cell]), _by_seed(by_cell[base])


def _by_seed(records: Iterable[EpisodeRecord]) -> dict[int, float]:
    return {record.seed: score(record) for record in records}


def _shares(
    own: Mapping[int, float], base: Mapping[int, float], seeds: Sequence[int]
) -> list[float] | None:
    """Scores of ``seeds``, divided by the base's mean over the same."""
    mean = fmean(base[seed] for seed in seeds) if seeds else 0.0
    return [own[seed] / mean for seed in seeds] if mean > 0 else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
