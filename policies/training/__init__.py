"""What every training has: seeds that are its own, curves, and a state to resume from."""

EVALUATION_SEEDS = range(20)
"""For reported figures only: no choice is ever made on them."""

VALIDATION_SEEDS = range(5000, 5050)
"""For choosing between checkpoints."""


def training_seed(run_seed: int, episode: int) -> int:
    """Seed of the ``episode``-th training episode of the run with ``run_seed``: 10000 or more."""
    return 10_000 + 100_000 * run_seed + episode
