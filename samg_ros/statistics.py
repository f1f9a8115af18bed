"""Many scores as few figures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def bootstrap_mean(values: list[float], groups: list[int], seed: int = 0) -> Interval:
    """Mean of values, resampled by group: frames of one episode are not independent.

    :param groups: the episode of each value.
    """
    data, labels = np.asarray(values), np.asarray(groups)
    by_group = [data[labels == label] for label in np.unique(labels)]
    rng = np.random.default_rng(seed)
    means = []
    for _ in range(RESAMPLES):
        drawn = rng.integers(len(by_group), size=len(by_group))
        means.append(np.concatenate([by_group[i] for i in drawn]).mean())
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(data.mean()), float(low), float(high))
