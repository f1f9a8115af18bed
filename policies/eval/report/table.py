"""Results as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from policies.episode import Cell
from policies.eval.summary import Overall, Row
from samg_ros.statistics import Interval

_HEADINGS = (
    "task",
    "policy",
    "masks",
    "look",
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
    headings = ("policy", "masks", "look", "tasks", "episodes", "of clean, IQM", "of clean, mean")
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
