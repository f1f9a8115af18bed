"""``samg policies``: the policies that ship, and what a checkpoint tells of itself."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from policies.checkpoint import load_checkpoint
from policies.checkpoints import shipped
from policies.shipped_scores import cells, headings, shipped_scores
from samg_ros.cli.wide_table import print_table
from samg_ros.errors import CheckpointError

NOTES = """\
Scores are those of the training's end, on held-out episodes before photographs: success rates, or
mean returns. docs/results.md has what SAM-G's own masks give. More of one: samg policies NAME"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="samg policies", description=__doc__)
    top.add_argument("name", nargs="?", help="one that ships, or the path of any checkpoint")
    return top


def main(argv: list[str]) -> int:
    """Run ``samg policies``.

    :raises CheckpointError: the one that is named cannot be used.
    """
    name = parser().parse_args(argv).name
    if name:
        print(json.dumps(described(name), indent=2))
        return 0
    table = Table(title="Policies", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings():
        table.add_column(heading, justify="left" if heading in ("policy", "score") else "right")
    for scores in shipped_scores():
        table.add_row(*cells(scores))
    print_table(table)
    Console().print(NOTES, highlight=False, soft_wrap=True)
    return 0


def described(name: str) -> dict:
    """All that a checkpoint tells: what it is, what it needs, how it was made.

    :raises CheckpointError: neither one that ships nor a checkpoint.
    """
    path = shipped().get(name, Path(name))
    if not path.is_file():
        raise CheckpointError(
            f"no checkpoint {name!r}: neither a file nor one of {', '.join(shipped())}"
        )
    stored = load_checkpoint(path)
    return {
        "kind": stored.kind,
        "spec": asdict(stored.spec),
        "preprocessing": dict(stored.preprocessing),
        "network": dict(stored.network),
        "record": asdict(stored.record),
    }
