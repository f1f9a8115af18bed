"""Tables that are printed as wide as they need: figures that are cut off help nobody."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

WIDEST = 400


def print_table(table: Table) -> None:
    """Print on standard output, on a narrow screen too, and into a file or a pipe."""
    Console(width=Console(width=WIDEST).measure(table).maximum).print(table)
