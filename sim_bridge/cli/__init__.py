"""``samg sim``: list and preview the simulated tasks and their perturbations."""

from __future__ import annotations

from samg_ros.cli import run_verb


def main(argv: list[str]) -> int:
    """Run ``samg sim list`` or ``samg sim preview``."""
    return run_verb("sim", argv)
