"""Which episodes failed, and whether the mask or the policy is to blame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from policies.eval_records import Cell, EpisodeRecord
from policies.eval_summary import Row, base_of, by_combination

_POOR_SHARE = 0.75  # of the clean return: an episode below it is listed, of tasks without success

ByCell = Mapping[Cell, Sequence[EpisodeRecord]]


def failures(records: Sequence[EpisodeRecord], rows: Sequence[Row]) -> list[str]:
    """A line for each of ``rows`` in which an episode failed, with its seeds.

    :param records: of all combinations, those of other rows too.
    """
    by_cell = by_combination(records)
    lines = []
    for row in rows:
        if row.success is None and base_of(row.cell, by_cell) not in by_cell:
            lines.append(f"- {row.cell}: not known, since nothing clean was run to compare with")
        elif failed := row.failed or _poor(row.cell, by_cell):
            what = "no success" if row.success else f"return below {_POOR_SHARE} of clean"
            seeds = _told(row.cell, sorted(failed), by_cell)
            lines.append(f"- {row.cell}: {len(failed)} of {row.episodes} ({what}): seeds {seeds}")
    return lines or [
        f"- nothing: no episode without success, or below {_POOR_SHARE} of the clean return."
    ]


def _poor(cell: Cell, by_cell: ByCell) -> list[int]:
    """Seeds of a task without success whose return is far below the clean one's mean."""
    base = by_cell.get(base_of(cell, by_cell))
    records = by_cell[cell]
    if not base or any(record.success is not None for record in records):
        return []
    clean = sum(record.episode_return for record in base) / len(base)
    return [record.seed for record in records if record.episode_return < _POOR_SHARE * clean]


def _told(cell: Cell, seeds: Sequence[int], by_cell: ByCell) -> str:
    """Seeds; and for SAM-G's masks how good they were, to tell its failures from the policy's."""
    own = {record.seed: record for record in by_cell[cell]}
    oracle = Cell(cell.task, cell.policy, "oracle", cell.perturb)
    perfect = {record.seed: record for record in by_cell.get(oracle, ())}
    if all(own[seed].mean_iou is None for seed in seeds):
        return _ranges(seeds)

    def told(seed: int) -> str:
        too = "; oracle fails too" if seed in perfect and perfect[seed].success is False else ""
        return f"{seed} (mask IoU {own[seed].mean_iou:.2f}{too})"

    return ", ".join(map(told, seeds))


def _ranges(seeds: Sequence[int]) -> str:
    """``0, 2-5``: consecutive seeds as one."""
    told = []
    for _, pairs in groupby(enumerate(seeds), key=lambda pair: pair[1] - pair[0]):
        run = [seed for _, seed in pairs]
        told.append(f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)))
    return ", ".join(told)
