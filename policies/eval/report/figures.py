"""Results as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from policies.eval.summary import Row
from samg_ros.errors import ConfigError
from samg_ros.io.atomic import replacing
from samg_ros.statistics import Interval

_COLOURS = {"samg": "C0", "oracle": "C2", "none": "C1", "black": "C7", "oracle+noise": "C4"}
_MARKERS = "os^Dv"
_SPREAD = 0.6  # of the room between two perturbations, how much the points of one take
_COLUMNS = 3


def draw(rows: Sequence[Row], path: Path) -> None:
    """A panel for each task: success, or return, by perturbation; nothing of no rows.

    :raises ConfigError: matplotlib is not installed. :raises OutputError: the disk refuses it.
    """
    if not rows:
        return
    tasks = list(dict.fromkeys(row.cell.task for row in rows))
    columns = min(_COLUMNS, len(tasks))
    lines = -(-len(tasks) // columns)
    figure = figure_class()(figsize=(2 + 4.5 * columns, 1 + 3.2 * lines), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for panel, task in zip(panels, tasks, strict=False):
        _draw_task(panel, [row for row in rows if row.cell.task == task])
    for panel in panels[len(tasks) :]:
        panel.set_axis_off()
    labelled: dict[str, Any] = {}
    for panel in panels:
        labelled |= {label: h for h, label in zip(*panel.get_legend_handles_labels(), strict=True)}
    figure.legend(labelled.values(), labelled.keys(), loc="outside lower center", ncols=4)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


def _draw_task(panel: Any, rows: Sequence[Row]) -> None:
    perturbations = list(dict.fromkeys(row.cell.perturb for row in rows))
    series = list(dict.fromkeys((row.cell.policy, row.cell.mask) for row in rows))
    policies = list(dict.fromkeys(policy for policy, _ in series))
    for number, (policy, mask) in enumerate(series):
        shift = _SPREAD * ((number + 0.5) / len(series) - 0.5)
        these = [row for row in rows if (row.cell.policy, row.cell.mask) == (policy, mask)]
        shown = [_shown(row) for row in these]
        means = [interval.mean for interval in shown]
        # The middle of a resampled mean can lie beside the mean by a hair.
        below = [max(0.0, interval.mean - interval.low) for interval in shown]
        above = [max(0.0, interval.high - interval.mean) for interval in shown]
        panel.errorbar(
            [perturbations.index(row.cell.perturb) + shift for row in these],
            means,
            yerr=[below, above],
            fmt=_MARKERS[policies.index(policy) % len(_MARKERS)],
            color=_COLOURS.get(mask, "C3"),
            capsize=3,
            label=f"{policy}, masks {mask}",
        )
    has_success = rows[0].success is not None
    panel.set_title(rows[0].cell.task)
    panel.set_ylabel("success rate" if has_success else "return, mean")
    panel.set_xticks(range(len(perturbations)), _short(perturbations), fontsize=8)
    panel.set_xlim(-0.6, len(perturbations) - 0.4)
    panel.set_ylim(*((-0.03, 1.03) if has_success else (min(0.0, panel.get_ylim()[0]), None)))
    panel.grid(axis="y", alpha=0.3)


def _short(perturbations: Sequence[str]) -> list[str]:
    """Without their folders, where that tells them apart: four stand under a panel."""
    names = [[term.partition("=DIR/")[0] for term in one.split(",")] for one in perturbations]
    short = [",\n".join(terms) for terms in names]
    unlike = len(set(short)) == len(perturbations)
    return short if unlike else [one.replace(",", ",\n") for one in perturbations]


def _shown(row: Row) -> Interval:
    return row.episode_return.mean if row.success is None else row.success.mean


def figure_class() -> Any:
    """matplotlib's figure, which needs no display. :raises ConfigError: it is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError("the plot needs matplotlib: pip install 'samg_ros[train]'") from error
    return Figure
