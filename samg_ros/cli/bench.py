"""``samg bench``: figures to compare by, each run in a folder with its configuration."""

from __future__ import annotations

from collections.abc import Callable

import tyro

from samg_ros.cli.bench_masker import masker
from samg_ros.cli.bench_masks import masks
from samg_ros.cli.bench_policy import policy
from samg_ros.cli.bench_sim import sim


def main(argv: list[str]) -> int:
    """Run ``samg bench masks``, ``samg bench masker``, ``samg bench sim`` or ``... policy``."""
    commands: dict[str, Callable] = {
        "masks": masks,
        "masker": masker,
        "sim": sim,
        "policy": policy,
    }
    tyro.extras.subcommand_cli_from_dict(commands, prog="samg bench", args=argv)
    return 0
