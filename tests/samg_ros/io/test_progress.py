"""One bar for all long work: seen on a screen, lines in a log."""

from __future__ import annotations

import re
from io import StringIO

from rich.console import Console
from rich.table import Table

from samg_ros.io.progress import print_table, progress


def shown(*, terminal: bool, **options) -> str:
    out = StringIO()
    console = Console(file=out, force_terminal=terminal, width=120)
    with progress("masking", 5, done=2, console=console, **options) as report:
        report(3, "on [cpu]")
        report(5, "lost 1")
    return out.getvalue()


def test_a_log_has_a_line_for_each_report() -> None:
    assert shown(terminal=False) == "masking 3/5: on [cpu]\nmasking 5/5: lost 1\n"
    assert shown(terminal=False, lines=False) == ""


def test_a_screen_has_a_bar_with_what_was_said_last() -> None:
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown(terminal=True, lines=False))
    last = text.split("masking")[-1]
    assert "5/5" in last and "lost 1" in last


def test_tables_are_never_cut_off(capsys) -> None:
    table = Table()
    for number in range(30):
        table.add_column(f"heading {number}")
    print_table(table)
    assert "heading 29" in capsys.readouterr().out.splitlines()[1]
