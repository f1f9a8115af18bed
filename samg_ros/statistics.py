"""Many scores as few figures: means, interquartile means and ratios with their 95 % intervals.

Every interval is a percentile bootstrap of scipy's. What is drawn anew are whole episodes: frames
of one episode are not independent, and episodes of different tasks never stand in for each other
(Agarwal et al., "Deep RL at the edge of the statistical precipice", arXiv 2108.13264, whose
stratified bootstrap and interquartile mean these are).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

RESAMPLES = 2000
TRIMMED = 0.25  # of the sorted scores, at either end, in an interquartile mean
SEED = 0  # the same scores always have the same interval


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Estimate:
    """``mean`` of all episodes, and ``iqm``: that of the half between the outer quarters."""

    mean: Interval
    iqm: Interval


class _Statistic(Protocol):
    def __call__(self, *samples: np.ndarray, axis: int) -> np.ndarray: ...


def estimate(scores: np.ndarray) -> Estimate:
    """Mean and interquartile mean, of which episodes are drawn anew within each task.

    :param scores: float [episodes, tasks].
    """
    tasks = list(np.asarray(scores, float).T)
    return Estimate(_bootstrap(tasks, _mean), _bootstrap(tasks, _interquartile_mean))


def ratio(scores: np.ndarray, base: np.ndarray) -> Interval | None:
    """The ratio of two means over the same seeds, which are drawn anew for both together.

    :param scores: float [episodes]. :param base: float [episodes], of the same seeds, of what it
        is compared with. Draws in which its mean is not positive have no ratio and do not count.
    :return: None where the mean of ``base`` is not positive.
    """
    if np.mean(base) <= 0:
        return None
    return _bootstrap([np.asarray(scores, float), np.asarray(base, float)], _ratio, paired=True)


def bootstrap_mean(values: Sequence[float], groups: Sequence[int]) -> Interval:
    """Mean of values, resampled by group: frames of one episode are not independent.

    :param groups: the episode of each value.
    """
    labels, place = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.bincount(place, weights=values, minlength=len(labels))
    counts = np.bincount(place, minlength=len(labels)).astype(float)
    return _bootstrap([sums, counts], _ratio, paired=True)


def _bootstrap(
    samples: Sequence[np.ndarray], statistic: _Statistic, *, paired: bool = False
) -> Interval:
    """:param samples: float [N] each, drawn independently unless they are ``paired``."""
    from scipy.stats import DegenerateDataWarning, bootstrap  # takes most of a second

    point = float(statistic(*samples, axis=-1))
    if len(samples[0]) < 2:
        return Interval(point, point, point)  # there is nothing to draw from
    with warnings.catch_warnings():
        # Draws without a ratio are expected, and not among the percentiles below.
        warnings.simplefilter("ignore", DegenerateDataWarning)
        drawn = bootstrap(
            samples,
            statistic,
            paired=paired,
            vectorized=True,
            n_resamples=RESAMPLES,
            method="percentile",
            rng=np.random.default_rng(SEED),
        ).bootstrap_distribution
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return Interval(point, float(low), float(high))


def _mean(*tasks: np.ndarray, axis: int) -> np.ndarray:
    return np.concatenate(tasks, axis=axis).mean(axis)


def _interquartile_mean(*tasks: np.ndarray, axis: int) -> np.ndarray:
    from scipy.stats import trim_mean

    return trim_mean(np.concatenate(tasks, axis=axis), TRIMMED, axis=axis)


def _ratio(over: np.ndarray, under: np.ndarray, *, axis: int) -> np.ndarray:
    """NaN where what is divided by is not positive."""
    above, below = over.mean(axis), under.mean(axis)
    return above / np.where(below > 0, below, np.nan)
