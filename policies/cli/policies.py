"""``samg policies``: the policies that ship, and what a checkpoint says of itself."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from policies.checkpoints import acting, shipped
from samg_ros.errors import CheckpointError

# What scores are of, in the order in which people read them, and how files call it.
SOURCES = {
    "teacher": "teacher",
    "true masks": "oracle",
    "faulty masks": "oracle+noise",
    "raw picture": "none",
    "raw, clean": "none_clean",
    "nothing": "black",
}


@dataclass(frozen=True)
class Scores:
    """One policy's. ``scores``: by what it was shown (:data:`SOURCES`), success rates in [0, 1]
    or mean returns, as ``is_return`` says."""

    name: str
    is_return: bool
    scores: dict[str, float]


def scores_of(name: str, path: Path) -> Scores:
    """:raises CheckpointError: it cannot be used."""
    from samg_ros.io.checkpoint import load_checkpoint

    told = dict(load_checkpoint(path).record.scores)
    is_return = any(key.endswith("_return") for key in told)
    ending = "_return" if is_return else ""
    known = {shown: told[key + ending] for shown, key in SOURCES.items() if key + ending in told}
    return Scores(name, is_return, known)


def shipped_scores() -> list[Scores]:
    """Of all that ship and act on pictures."""
    return [scores_of(name, shipped()[name]) for name in acting()]


def cells(scores: Scores) -> list[str]:
    """A row under :func:`headings`."""
    form = "{:.0f}" if scores.is_return else "{:.2f}"
    shown = [form.format(v) if (v := scores.scores.get(s)) is not None else "" for s in SOURCES]
    return [scores.name, "return" if scores.is_return else "success", *shown]


def headings() -> list[str]:
    """Of the table."""
    return ["policy", "score", *SOURCES]


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
    from rich import box
    from rich.table import Table

    from samg_ros.io.progress import print_table

    table = Table(title="Policies", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings():
        table.add_column(heading, justify="left" if heading in ("policy", "score") else "right")
    for scores in shipped_scores():
        table.add_row(*cells(scores))
    print_table(table)
    print(NOTES)
    return 0


def described(name: str) -> dict:
    """All that a checkpoint holds: what it is, what it needs, how it was made.

    :raises CheckpointError: neither one that ships nor a checkpoint.
    """
    from samg_ros.io.checkpoint import load_checkpoint

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
