"""What the episodes of a combination amount to, with intervals.

Intervals are 95 % percentile intervals of the stratified bootstrap (Agarwal et al. 2021, arXiv
2108.13264, whose library computes them): episodes are drawn anew within each task. A ratio's are
of the paired bootstrap, which the library does not have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from samg_ros.bench.summary import RESAMPLES, Interval
from samg_ros.errors import ConfigError


@dataclass(frozen=True)
class Estimate:
    """``mean`` of all episodes, and ``iqm``: that of the half between the outer quarters."""

    mean: Interval
    iqm: Interval


def estimate(scores: np.ndarray) -> Estimate:
    """:param scores: float [episodes, tasks]. :raises ConfigError: rliable is not installed."""
    library, metrics = rliable()

    def aggregate(drawn: np.ndarray) -> np.ndarray:
        return np.array([metrics.aggregate_mean(drawn), metrics.aggregate_iqm(drawn)])

    return Estimate(*_intervals(library, scores, aggregate))


def ratio(scores: np.ndarray, base: np.ndarray) -> Interval | None:
    """The ratio of two means over the same seeds, which are drawn anew for both together.

    :param scores: float [episodes]. :param base: float [episodes], of the same seeds, of what it
        is compared with. Draws in which its mean is not positive have no ratio and do not count.
    :return: None where the mean of ``base`` is not positive.
    """
    if base.mean() <= 0:
        return None
    drawn = np.random.default_rng(0).integers(len(base), size=(RESAMPLES, len(base)))
    over, under = scores[drawn].mean(1), base[drawn].mean(1)
    low, high = np.percentile(over[under > 0] / under[under > 0], [2.5, 97.5])
    return Interval(float(scores.mean() / base.mean()), float(low), float(high))


def rliable() -> tuple[Any, Any]:
    """The library and its metrics. :raises ConfigError: it cannot be imported."""
    try:
        from rliable import library, metrics
    except (
        ImportError,
        TypeError,
    ) as error:  # TypeError: its arch beside a pandas that is too new
        raise ConfigError(
            f"statistics need rliable, which cannot be imported ({error}): "
            "pip install 'samg_ros[train]'"
        ) from error
    return library, metrics


def _intervals(library: Any, scores: Any, aggregate: Callable[..., np.ndarray]) -> list[Interval]:
    with _seeded():
        points, ranges = library.get_interval_estimates({"": scores}, aggregate, reps=RESAMPLES)
    return [Interval(*map(float, row)) for row in zip(points[""], *ranges[""], strict=True)]


@contextmanager
def _seeded() -> Iterator[None]:
    """The library draws from numpy's global generator, whatever seed it is given."""
    state = np.random.get_state()
    np.random.seed(0)
    try:
        yield
    finally:
        np.random.set_state(state)
