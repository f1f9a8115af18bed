"""The ``samg`` command. Its subcommands are entry points, so packages above this one add theirs.

Group ``samg.commands`` holds ``NAME = MODULE:main``, a function ``(argv) -> exit status``; group
``samg.COMMAND`` the verbs of a command that has some, functions that tyro can call. A module is
imported when its command is called, and read without importing it for the help.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

COMMANDS = "samg.commands"


def found(group: str) -> dict[str, EntryPoint]:
    """The entry points of a group, by name."""
    return {point.name: point for point in sorted(entry_points(group=group))}


def usage(prog: str, points: dict[str, EntryPoint], options: str = "") -> str:
    """The list of what ``prog`` can do, from the first lines of the modules.

    :param options: what may follow a name; as a rule its own help says.
    """
    more = options or f"[options]     ({prog} COMMAND --help says more)"
    lines = [f"usage: {prog} COMMAND {more}", ""]
    lines += [f"  {name:<10} {_says(point)}" for name, point in points.items()]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand. :return: the exit status."""
    from samg_ros.errors import SamgError

    argv = sys.argv[1:] if argv is None else argv
    points = found(COMMANDS)
    if not argv or argv[0] not in points:
        return _told(argv, "samg", points)
    try:
        return points[argv[0]].load()(argv[1:])
    except SamgError as error:
        print(f"samg {argv[0]}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def run_verb(command: str, argv: list[str]) -> int:
    """Run a verb of ``samg COMMAND``: a function whose parameters tyro reads from ``argv``.

    :return: the exit status.
    """
    prog, points = f"samg {command}", found(f"samg.{command}")
    if not argv or argv[0] not in points:
        return _told(argv, prog, points)
    import tyro

    verb: Callable[..., int | None] = points[argv[0]].load()
    return tyro.cli(verb, prog=f"{prog} {argv[0]}", args=argv[1:]) or 0


def _told(argv: list[str], prog: str, points: dict[str, EntryPoint]) -> int:
    """Help that was asked for, or the answer to a name that is none."""
    if not argv or argv[0] in ("-h", "--help"):
        print(usage(prog, points))
        return 0 if argv else 2
    print(f"{prog}: unknown command {argv[0]!r}\n\n{usage(prog, points)}", file=sys.stderr)
    return 2


def _says(point: EntryPoint) -> str:
    """What the first line of a module's docstring says of a command, without importing it."""
    spec = importlib.util.find_spec(point.module)
    if spec is None or spec.origin is None:
        return f"(missing: {point.module})"
    text = ast.get_docstring(ast.parse(Path(spec.origin).read_text())) or ""
    return text.partition("\n")[0].rpartition("``: ")[2].rstrip(".")
