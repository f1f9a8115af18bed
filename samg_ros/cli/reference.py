"""``samg reference``: make a reference: pictures, masks and points that say what to look for."""

from __future__ import annotations

from samg_ros.cli import run_verb
from samg_ros.cli.reference_clicks import protect_negative_clicks


def main(argv: list[str]) -> int:
    """Run ``samg reference sim | files | clicks``."""
    return run_verb("reference", protect_negative_clicks(argv))
