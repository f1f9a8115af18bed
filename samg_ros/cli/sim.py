"""``samg sim``: the simulated tasks, what they take and give, and what they look like."""

from __future__ import annotations

from collections.abc import Callable

import tyro

from samg_ros.cli.sim_list import list_tasks
from samg_ros.cli.sim_preview import preview


def main(argv: list[str]) -> int:
    """Run ``samg sim list`` or ``samg sim preview``."""
    commands: dict[str, Callable] = {"list": list_tasks, "preview": preview}
    tyro.extras.subcommand_cli_from_dict(commands, prog="samg sim", args=argv)
    return 0
