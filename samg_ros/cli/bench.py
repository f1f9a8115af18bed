"""``samg bench``: figures to compare by, each run in a folder with its configuration."""

from __future__ import annotations

from collections.abc import Callable

import tyro

from samg_ros.cli.bench_masker import masker
from samg_ros.cli.bench_masks import masks


def main(argv: list[str]) -> int:
    """Run ``samg bench masks`` or ``samg bench masker``."""
    commands: dict[str, Callable] = {"masks": masks, "masker": masker}
    tyro.extras.subcommand_cli_from_dict(commands, prog="samg bench", args=argv)
    return 0
