"""``samg models``: every model by name, how large it is and where its weights come from."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict

from rich import box
from rich.console import Console
from rich.table import Table

from samg_ros.cli.wide_table import print_table
from samg_ros.models.facts import ModelFacts, describe
from samg_ros.models.registry import models

CACHED = {"whole": "yes", "absent": "no", "unrecorded": "yes, no record", "damaged": "damaged"}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="samg models", description=__doc__)
    top.add_argument("names", nargs="*", help="models (default: all)")
    top.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return top


def main(argv: list[str]) -> int:
    """Run ``samg models``.

    :raises SamgError: unknown name, or a package a model needs is not installed.
    """
    options = parser().parse_args(argv)
    facts = look(options.names or models.names())
    if options.json:
        print(json.dumps([asdict(one) for one in facts], indent=2))
        return 0
    print_table(table(facts))
    console = Console()
    console.print("MB: the weights in memory, in fp32 and with the encoder in bf16 or fp16.")
    console.print("input, grid: side of its own input in px, and cells a side of its map there.")
    console.print("The parameter features takes 'none' too: then the segmenter's own map alone.")
    return 0


def look(names: Sequence[str]) -> list[ModelFacts]:
    """The facts, with a line on standard error that says which model is looked at."""
    facts = []
    with Console(stderr=True).status("models") as status:
        for name in names:
            status.update(name)
            facts.append(describe(name))
    return facts


def table(facts: list[ModelFacts]) -> Table:
    """One row a model, segmenters first."""
    result = Table(title="Models", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    result.add_column("model", no_wrap=True)
    for heading in ("M parameters", "MB fp32", "MB bf16", "input", "grid"):
        result.add_column(heading, justify="right")
    for heading in ("licence", "weights from", "cached"):
        result.add_column(heading, overflow="fold")
    kind = ""
    for one in sorted(facts, key=lambda f: f.kind != "segmenter"):
        if one.kind != kind:
            kind = one.kind
            result.add_section()
            result.add_row(f"[bold]{kind}[/]")
        result.add_row(*_cells(one))
    return result


def _cells(one: ModelFacts) -> tuple[str, ...]:
    return (
        one.name,
        f"{one.parameters / 1e6:.1f}",
        f"{one.fp32_mb:.0f}",
        f"{one.bf16_mb:.0f}",
        str(one.input_size),
        f"{one.grid} x {one.grid}",
        one.licence,
        "\n".join(one.sources),
        CACHED[one.state],
    )
