"""Results as Markdown: a line for each combination, and the short of several evaluations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from policies.episode import Cell, EpisodeRecord
from policies.eval.config import CLEAN, SAMG
from policies.eval.summary import Overall, Row, by_combination, score_ratio
from samg_ros.statistics import Interval

_HEADINGS = (
    "task",
    "policy",
    "masks",
    "perturbation",
    "successes",
    "success rate",
    "success, IQM",
    "return",
    "return, IQM",
    "of clean",
    "mask IoU (worst)",
    "found",
)


def results_table(rows: Sequence[Row], runs: Mapping[Cell, str] | None = None) -> str:
    """One line for each combination. :param runs: where the episodes of each come from."""
    if runs is None:
        return markdown(_HEADINGS, [_cells(row) for row in rows])
    lines = [[*_cells(row), runs[row.cell]] for row in rows]
    return markdown((*_HEADINGS, "run"), lines)


def overall_table(rows: Sequence[Overall]) -> str:
    """One line for each setting; empty where there is none."""
    lines = [
        [
            row.cell.policy,
            row.cell.mask,
            row.cell.perturb,
            str(row.tasks),
            str(row.episodes),
            interval(row.score.iqm),
            interval(row.score.mean),
        ]
        for row in rows
    ]
    scores = ("of clean, IQM", "of clean, mean")
    headings = ("policy", "masks", "perturbation", "tasks", "episodes", *scores)
    return markdown(headings, lines) if lines else ""


def markdown(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table."""
    rule = ["---"] * len(headings)
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |"
        for line in (headings, rule, *lines)
    )


def interval(found: Interval | None) -> str:
    """A mean with its interval, to as many digits as its size deserves."""
    if found is None:
        return "-"
    digits = 1 if max(map(abs, (found.mean, found.low, found.high))) >= 10 else 2
    return f"{found.mean:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"


def _cells(row: Row) -> list[str]:
    cell, success = row.cell, row.success
    good = row.episodes - len(row.failed)
    iou = "-" if row.mean_iou is None else f"{row.mean_iou:.3f} ({row.min_iou:.3f})"
    return [
        cell.task,
        cell.policy,
        cell.mask,
        cell.perturb,
        f"- of {row.episodes}" if success is None else f"{good} of {row.episodes}",
        "-" if success is None else interval(success.mean),
        "-" if success is None else interval(success.iqm),
        interval(row.episode_return.mean),
        interval(row.episode_return.iqm),
        interval(row.score_ratio),
        iou,
        "-" if row.found is None else f"{row.found:.2f}",
    ]


WEAK = 0.9
"""Of the clean oracle's: with less, a task is named among the weakest."""

_GLANCE = (
    "task",
    "policy",
    "`samg`",
    "`oracle`",
    "`none`",
    "raw twin",
    "`samg` / `oracle`",
    "`samg` / clean `oracle`",
    "twin / clean twin",
    "mask IoU",
)


@dataclass(frozen=True)
class Line:
    """A policy that learned from masks, in one task under one perturbation, and its twins.

    ``by_mask``: its rows. ``twins``: rows of policies that were shown the raw picture alone.
    ``of_oracle``: ``samg`` by ``oracle`` under the same perturbation. ``policy`` is None where
    there are only twins.
    """

    task: str
    perturb: str
    policy: str | None
    by_mask: Mapping[str, Row]
    twins: tuple[Row, ...]
    of_oracle: Interval | None

    @property
    def of_clean(self) -> Interval | None:
        """``samg`` by ``oracle`` in the unchanged world."""
        row = self.by_mask.get(SAMG)
        return row.score_ratio if row else None

    @property
    def twin(self) -> str | None:
        """The first twin's policy."""
        return self.twins[0].cell.policy if self.twins else None

    @property
    def twin_of_clean(self) -> Interval | None:
        """The first twin by itself in the unchanged world."""
        return self.twins[0].score_ratio if self.twins else None

    @property
    def has_success(self) -> bool:
        """Whether the task reports success."""
        return [*self.by_mask.values(), *self.twins][0].success is not None


# By name: whose each is, and the ratio itself.
RATIOS: dict[str, Callable[[Line], tuple[str | None, Interval | None]]] = {
    "`samg` / `oracle`": lambda line: (line.policy, line.of_oracle),
    "`samg` / clean `oracle`": lambda line: (line.policy, line.of_clean),
    "twin / clean twin": lambda line: (line.twin, line.twin_of_clean),
}


def lines_of(records: Sequence[EpisodeRecord], rows: Sequence[Row]) -> list[Line]:
    """Perturbations in the order of :func:`perturbations_of`, tasks in that of ``rows``.

    :param rows: of the records.
    """
    by_cell = by_combination(records)
    found: list[Line] = []
    for perturb in perturbations_of(rows):
        for task in dict.fromkeys(row.cell.task for row in rows):
            here = [row for row in rows if (row.cell.task, row.cell.perturb) == (task, perturb)]
            found += _lines(task, perturb, here, by_cell)
    return found


def perturbations_of(rows: Sequence[Row]) -> list[str]:
    """The hardest background first, the unchanged world last, others as they come."""
    found = dict.fromkeys(row.cell.perturb for row in rows)
    return sorted(found, key=lambda one: (one == CLEAN, not one.startswith("video_hard")))


def glance_table(lines: Sequence[Line]) -> str:
    """A line for each task and policy."""
    return markdown(_GLANCE, [_glance_cells(line) for line in lines])


def ratios_table(lines: Sequence[Line]) -> str:
    """Each ratio over tasks: the mean and the least. :param lines: of one perturbation."""
    told = []
    for has_success, kind in ((True, "with success"), (False, "with a return")):
        for name, ratio in RATIOS.items():
            by_policy: dict[str | None, dict[str, float]] = {}
            for line in lines:
                whose, found = ratio(line)
                if line.has_success == has_success and found is not None:
                    by_policy.setdefault(whose, {})[line.task] = found.mean
            for policy, known in by_policy.items():
                least = min(known, key=lambda task: known[task])
                worst, mean = f"{known[least]:.2f} ({least})", f"{fmean(known.values()):.2f}"
                told.append([f"{len(known)} {kind}", policy or "-", name, mean, worst])
    return markdown(("tasks", "policy", "ratio", "mean", "least"), told) if told else ""


def weakest(lines: Sequence[Line]) -> list[str]:
    """Where SAM-G's masks cost the most, the worst first, and what it was owed to."""
    weak = [line for line in lines if line.of_clean and line.of_clean.mean < WEAK]
    weak.sort(key=lambda line: line.of_clean.mean if line.of_clean else 0.0)
    return [_weakness(line) for line in weak]


def _lines(
    task: str, perturb: str, rows: Sequence[Row], by_cell: Mapping[Cell, list[EpisodeRecord]]
) -> Iterator[Line]:
    twins = tuple(row for row in rows if by_cell[row.cell][0].learned_from == "none")
    masked = [row for row in rows if by_cell[row.cell][0].learned_from == "targets"]
    for policy in dict.fromkeys(row.cell.policy for row in masked):
        by_mask = {row.cell.mask: row for row in masked if row.cell.policy == policy}
        samg, oracle = (by_cell.get(Cell(task, policy, m, perturb)) for m in (SAMG, "oracle"))
        of_oracle = score_ratio(samg, oracle) if samg and oracle else None
        yield Line(task, perturb, policy, by_mask, twins, of_oracle)
    if twins and not masked:
        yield Line(task, perturb, None, {}, twins, None)


def _glance_cells(line: Line) -> list[str]:
    samg = line.by_mask.get(SAMG)
    iou = "-" if samg is None or samg.mean_iou is None else f"{samg.mean_iou:.2f}"
    several = len(line.twins) > 1
    twins = [(f"{row.cell.policy}: " if several else "") + _score(row) for row in line.twins]
    ratios = [interval(ratio(line)[1]) for ratio in RATIOS.values()]
    scores = [_score(line.by_mask.get(mask)) for mask in (SAMG, "oracle", "none")]
    return [line.task, line.policy or "-", *scores, "; ".join(twins) or "-", *ratios, iou]


def _score(row: Row | None) -> str:
    """Successes of episodes, or the mean return and how many episodes it is of."""
    if row is None:
        return "-"
    if row.success is not None:
        return f"{row.episodes - len(row.failed)} of {row.episodes}"
    return f"{row.episode_return.mean.mean:.0f} (n = {row.episodes})"


def _weakness(line: Line) -> str:
    oracle, samg = line.by_mask.get("oracle"), line.by_mask[SAMG]
    name = f"{line.task}, {line.policy}, {line.perturb}"
    told = f"{name}: {interval(line.of_clean)} of the clean `oracle`'s"
    if oracle and oracle.score_ratio:
        reached = f"{oracle.score_ratio.mean:.2f}"
        told += f"; the `oracle`'s masks under the same perturbation reach {reached}"
    return told if samg.mean_iou is None else f"{told}; mean mask IoU {samg.mean_iou:.2f}"
