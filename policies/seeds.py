"""Which seeds are for what, so that nothing is measured on an episode it was trained on."""

from __future__ import annotations

EVALUATION_SEEDS = range(20)
"""For reported figures only: no choice is ever made on them."""

VALIDATION_SEEDS = range(5000, 5050)
"""For choosing between checkpoints."""


def training_seed(run_seed: int, episode: int) -> int:
    """Seed of the ``episode``-th training episode of the run with ``run_seed``: 10000 or more."""
    return 10_000 + 100_000 * run_seed + episode
