"""``samg weights``: list, fetch, verify and locate checkpoints."""

from __future__ import annotations

import argparse
import sys
import time
from itertools import zip_longest
from typing import TYPE_CHECKING

from samg_ros.errors import WeightsError
from samg_ros.weights import cache, resolve
from samg_ros.weights.catalogue import CHECKPOINTS, Checkpoint, get

if TYPE_CHECKING:
    from rich.table import Table

SHOWN_DIGITS = 12
STATES = {
    "whole": "in cache",
    "absent": "not fetched",
    "unrecorded": "no record",
    "damaged": "damaged",
}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="samg weights", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("list", help="the table: licence, size, sha256, sources in order")
    fetch = commands.add_parser("fetch", help="fetch what is missing or damaged")
    fetch.add_argument("names", nargs="*", help="checkpoints (default: those the masker needs)")
    fetch.add_argument("--all", action="store_true", help="every checkpoint")
    fetch.add_argument("--force", action="store_true", help="fetch again what is there")
    verify = commands.add_parser(
        "verify", help="hash what is in the cache, compare with its record or the table"
    )
    verify.add_argument("names", nargs="*", help="checkpoints (default: all in the cache)")
    where = commands.add_parser("where", help="the cache folder, or one checkpoint's file")
    where.add_argument("name", nargs="?", help="print this checkpoint's path only")
    return top


def main(argv: list[str]) -> int:
    """Run ``samg weights``; 0 on success, 1 where something is missing or damaged.

    :raises WeightsError: unknown name, or nothing could be fetched.
    """
    options = parser().parse_args(argv)
    if options.command == "list":
        return show_list()
    if options.command == "fetch":
        return fetch(options.names, every=options.all, force=options.force)
    if options.command == "verify":
        return verify(options.names)
    return where(options.name)


def show_list() -> int:
    """Print the table."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Checkpoints", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("checkpoint", no_wrap=True)
    table.add_column("sources, in order", overflow="fold")
    table.add_column("MB", justify="right")
    table.add_column("sha256", no_wrap=True)
    table.add_column("features")
    for checkpoint in CHECKPOINTS.values():
        _add_rows(table, checkpoint)
    console = Console()
    console.print(table)
    console.print(f"Before these: an explicit path, then the cache folder {cache.folder()}")
    console.print("Digests are cut short here; downloads are checked against all 64 digits.")
    return 0


def _add_rows(table: Table, checkpoint: Checkpoint) -> None:
    """One row a source, beside the checkpoint's own facts."""
    entry = cache.look(checkpoint)
    first = f" ({entry.record['source']})" if entry.record else ""
    facts = [f"[bold]{checkpoint.name}[/]", checkpoint.licence, f"{STATES[entry.state]}{first}"]
    for fact, source in zip_longest(facts, checkpoint.sources, fillvalue=None):
        if source is None:
            table.add_row(fact)
            continue
        digests = [digest[:SHOWN_DIGITS] for digest in source.digests] or ["stated by hub"]
        what = f"{source.kind}: {source.variant}"
        size, layer = f"{source.size / 1e6:.0f}", source.feature_layer
        table.add_row(fact, what, size, "\n".join(digests), f"layer {layer}" if layer else "")
    table.add_section()


def fetch(names: list[str], *, every: bool, force: bool) -> int:
    """Fetch the named checkpoints, all of them, or those of a default masker."""
    chosen = names or [c.name for c in CHECKPOINTS.values() if every or c.default]
    for name in chosen:
        get(name)  # a misspelt name should not surface after minutes of fetching
    for name in chosen:
        started = time.monotonic()
        if force:
            resolve.fetch(name, force=True)
        else:
            resolve.resolve(name, recheck=True)
        print(f"{name}: ready after {time.monotonic() - started:.1f} s")
    return 0


def verify(names: list[str]) -> int:
    """Hash what is in the cache; 1 if anything is damaged or a named checkpoint is absent."""
    failed = False
    for name in names or list(CHECKPOINTS):
        entry = resolve.verify(name)
        line = entry.problem or f"{STATES[entry.state]}: {entry.path}"
        if entry.state == "whole":
            record = entry.record
            origin = "" if record["source"] == cache.BY_HAND else f" from {record['source']}"
            line = f"ok, sha256 {record['sha256']}, {record['variant']}{origin}"
        print(f"{name}: {line}")
        failed |= entry.state == "damaged" or (bool(names) and entry.state == "absent")
    if failed:
        print("fetch anew with `samg weights fetch NAME`", file=sys.stderr)
    return int(failed)


def where(name: str | None) -> int:
    """Print the cache folder and its files, or one file's path."""
    if name is None:
        print(cache.folder())
        for checkpoint in CHECKPOINTS.values():
            print(f"  {checkpoint.file_name}: {STATES[cache.look(checkpoint).state]}")
        return 0
    entry = cache.look(get(name))
    if entry.state in ("absent", "damaged"):
        raise WeightsError(
            f"{name}: {entry.problem or STATES[entry.state]}; would lie at {entry.path}"
        )
    print(entry.path)
    return 0
