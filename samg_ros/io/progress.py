"""What long work shows: one bar, and tables as wide as they need."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # not needed for --help
    from rich.console import Console
    from rich.table import Table

WIDEST = 400

Report = Callable[[int, str], None]
"""Called with how much is done of the whole, and half a sentence about it."""


@contextmanager
def progress(
    title: str,
    total: int | None,
    *,
    done: int = 0,
    lines: bool = True,
    console: Console | None = None,
) -> Iterator[Report]:
    """A bar from ``done`` to ``total``, advanced by what this yields; lines where no screen is.

    :param total: None where it is not known. :param lines: whether what a report says is worth a
        line in a log; a frame is not.
    :param console: standard output by default.
    """
    from rich.console import Console

    console = Console() if console is None else console
    if not console.is_terminal:

        def say(now: int, line: str) -> None:
            if lines:
                text = f"{title} {now}/{'?' if total is None else total}: {line}"
                console.print(text.lstrip(), highlight=False, markup=False, soft_wrap=True)

        yield say
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    told = TextColumn("{task.fields[line]}", markup=False)
    with Progress(*columns, *times, told, console=console) as bars:
        bar = bars.add_task(title, total=total, completed=done, line="")
        yield lambda now, line: bars.update(bar, completed=now, line=line)


def print_table(table: Table) -> None:
    """Print on standard output, on a narrow screen too, and into a file or a pipe: figures that
    are cut off help nobody."""
    from rich.console import Console

    Console(width=Console(width=WIDEST).measure(table).maximum).print(table)
