"""``samg models``: every model by name, how large it is and where its weights come from."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from samg_ros.errors import ConfigError
from samg_ros.weights import cache
from samg_ros.weights.catalogue import CHECKPOINTS, MB

if TYPE_CHECKING:
    from rich.table import Table

FLOAT32, HALF = 4, 2  # bytes a number
CACHED = {"whole": "yes", "absent": "no", "unrecorded": "yes, no record", "damaged": "damaged"}


@dataclass(frozen=True)
class ModelFacts:
    """One line of the table of models.

    :param kind: ``segmenter`` or ``features``.
    :param parameters: how many numbers its network holds.
    :param fp32_mb: memory of its weights in MB (1e6 bytes).
    :param bf16_mb: the same in bf16 or fp16; a segmenter's decoder stays in fp32.
    :param input_size: side of its own square input, px.
    :param grid: cells a side of the map in which images are compared, at that input.
    :param sources: where its weights come from, in order.
    :param state: what the cache holds: ``whole``, ``absent``, ``unrecorded`` or ``damaged``.
    """

    name: str
    kind: str
    parameters: int
    fp32_mb: float
    bf16_mb: float
    input_size: int
    grid: int
    licence: str
    sources: tuple[str, ...]
    state: str


def describe(name: str) -> ModelFacts:
    """What the catalogue says of a model, and the cache.

    :raises ConfigError: unknown name.
    """
    if name not in CHECKPOINTS:
        raise ConfigError(f"unknown model {name!r}; choose one of: {', '.join(CHECKPOINTS)}")
    checkpoint = CHECKPOINTS[name]
    facts = checkpoint.facts
    whole = facts.parameters - facts.halved
    return ModelFacts(
        name=name,
        kind=checkpoint.role,
        parameters=facts.parameters,
        fp32_mb=facts.parameters * FLOAT32 / MB,
        bf16_mb=(whole * FLOAT32 + facts.halved * HALF) / MB,
        input_size=facts.input_size,
        grid=facts.grid,
        licence=checkpoint.licence,
        sources=tuple(f"{s.kind}: {s.variant}" for s in checkpoint.sources),
        state=cache.look(checkpoint).state,
    )


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="samg models", description=__doc__)
    top.add_argument("names", nargs="*", help="models (default: all)")
    top.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return top


def main(argv: list[str]) -> int:
    """Run ``samg models``.

    :raises ConfigError: unknown name.
    """
    options = parser().parse_args(argv)
    facts = [describe(name) for name in options.names or sorted(CHECKPOINTS)]
    if options.json:
        print(json.dumps([asdict(one) for one in facts], indent=2))
        return 0
    from rich.console import Console

    from samg_ros.io.progress import print_table

    print_table(table(facts))
    console = Console()
    console.print("MB: the weights in memory, in fp32 and with the encoder in bf16 or fp16.")
    console.print("input, grid: side of its own input in px, and cells a side of its map there.")
    console.print("The parameter features takes 'none' too: then the segmenter's own map alone.")
    return 0


def table(facts: list[ModelFacts]) -> Table:
    """One row a model, segmenters first."""
    from rich import box
    from rich.table import Table

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
