"""What the episodes of a combination amount to, with intervals.

Intervals are 95 % percentile intervals of the stratified bootstrap (Agarwal et al. 2021, arXiv
2108.13264, whose library computes them): episodes are drawn anew within each task.
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
    """The ratio of two means, each drawn anew by itself.

    :param scores: float [episodes]. :param base: float [episodes] of what it is compared with.
    :return: None where the mean of ``base`` is not positive, in full or in some draw.
    """

    def aggregate(over: np.ndarray, under: np.ndarray) -> np.ndarray:
        mean = np.mean(under)
        return np.array([np.mean(over) / mean if mean > 0 else np.nan])

    (found,) = _intervals(rliable()[0], [scores[:, None], base[:, None]], aggregate)
    numbers = (found.mean, found.low, found.high)
    return found if np.isfinite(numbers).all() else None


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
