"""``samg bench``: figures to compare by, each run in a folder with its configuration."""

from __future__ import annotations

from samg_ros.cli import run_verb


def main(argv: list[str]) -> int:
    """Run ``samg bench masks``, ``masker``, ``sim`` or ``policy``."""
    return run_verb("bench", argv)
