"""``samg bench policy``: observations a second on one thread, and a policy node's latency."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from tyro.conf import OmitArgPrefixes

from samg_ros.bench.policy_options import PolicyBench
from samg_ros.errors import ConfigError

if TYPE_CHECKING:
    from policies.base import Policy, PolicySpec
    from samg_ros.bench.policy_node_speed import NodeFigures
    from samg_ros.bench.policy_speed import PolicyFigures

NOTES = """\
a second: observations, pre-processing and network on one thread; in brackets for a second of CPU
time. ms: p50 / p95 of one; in the policy node, from a frame's arrival to its command; and around
it, from one process to another and back, each sent 10 ms after the answer before."""


def policy(bench: OmitArgPrefixes[PolicyBench]) -> None:
    """Observations a second of policies on one thread; with --via-ros also as nodes."""
    from samg_ros.bench.policy_plot import draw
    from samg_ros.bench.policy_speed import measure
    from samg_ros.bench.speed_plot import figure_class
    from samg_ros.machine import machine

    figure_class()  # a missing one is better told now than when all is measured
    through_node = node_measure() if bench.via_ros else None
    chosen = loaded(bench.policies)
    folder = Path(bench.out or f"runs/bench_policy_{datetime.now():%Y%m%d_%H%M%S}").expanduser()
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty; name a new folder with --out")
    console = Console()
    with console.status("policies"):
        rows = [measure(name, made, bench) for name, (_, made) in chosen.items()]
        through = [
            through_node(name, source, made.spec, bench)
            for name, (source, made) in chosen.items()
            if through_node
        ]
    folder.mkdir(parents=True, exist_ok=True)
    results = {
        "bench": asdict(bench),
        "policies": [asdict(row) for row in rows],
        "nodes": [asdict(row) for row in through],
        "machine": machine(),
    }
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    draw(rows, folder / "speed.png")
    show(rows, through, console)
    console.print(f"results.json and speed.png are in {folder}", soft_wrap=True)


def loaded(policies: tuple[str, ...]) -> dict[str, tuple[str, Policy]]:
    """What each is called -> what the node's parameter takes, and the policy itself.

    :raises SamgError: one cannot be used, or two would be called the same.
    """
    from policies.checkpoints import shipped_students
    from policies.registry import load_stored

    chosen: dict[str, tuple[str, Policy]] = {}
    for source in policies or tuple(shipped_students()):
        name = Path(source).name
        if name in chosen:
            raise ConfigError(f"two policies are called {name!r}; name each once")
        chosen[name] = (source, load_stored(source))
    return chosen


def show(rows: list[PolicyFigures], through: list[NodeFigures], console: Console) -> None:
    """The table."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    headings = ["policy", "a second", "ms"]
    headings += ["in node, ms", "around, ms", "lost"] if through else []
    for heading in headings:
        table.add_column(
            heading, justify="left" if heading == "policy" else "right", overflow="fold"
        )
    nodes = {node.policy: node for node in through}
    for row in rows:
        cells = [
            row.policy,
            f"{row.per_s:.0f} ({row.per_cpu_s:.0f})",
            f"{row.p50_ms:.2f} / {row.p95_ms:.2f}",
        ]
        if node := nodes.get(row.policy):
            cells += [
                f"{node.inside_p50_ms:.1f} / {node.inside_p95_ms:.1f}",
                f"{node.around_p50_ms:.1f} / {node.around_p95_ms:.1f}",
                f"{node.lost} of {node.frames}",
            ]
        table.add_row(*cells)
    console.print(table)
    console.print(NOTES, highlight=False, soft_wrap=True)


def node_measure() -> Callable[[str, str, PolicySpec, PolicyBench], NodeFigures]:
    """What measures a policy's node. :raises ConfigError: there is no ROS 2 here."""
    try:
        from samg_ros.bench.policy_node_speed import measure_node
    except ImportError as error:
        raise ConfigError(
            f"--via-ros needs ROS 2 ({error}): source one, or pip install 'samg_ros[ros]'"
        ) from error
    return measure_node
