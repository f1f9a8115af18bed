"""How fast the masker is, beside the reference order of work: in turn, on the same frames."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from samg_ros.bench.contenders import Run
from samg_ros.bench.scores import iou

MS_PER_S = 1000.0


@dataclass(frozen=True)
class Configuration:
    """What is varied. ``precision``: fp32 | bf16 | fp16; ``device``: as torch names it."""

    segmenter: str
    features: str
    input_size: int
    feature_size: int
    precision: str
    device: str

    def __str__(self) -> str:
        second = "" if self.features == "none" else f" + {self.features} {self.feature_size}"
        return f"{self.segmenter} {self.input_size}{second}, {self.precision}, {self.device}"


@dataclass(frozen=True)
class Figures:
    """What was measured of one contender.

    A call's latency is from frames on the host to masks and masked frames on the host, and
    ``frames_per_s`` is the batch by its median. ``ious``: of each frame against the truth, None
    where random weights make it meaningless.
    """

    frames_per_s: float
    latency_p50_ms: float
    latency_p95_ms: float
    calls: int
    ious: list[float] | None = None
    peak_memory_mb: float | None = None

    @property
    def mean_iou(self) -> float | None:
        return None if self.ious is None else float(np.mean(self.ious))


@dataclass(frozen=True)
class Row:
    """One configuration at one batch size.

    ``weights``: real | random. ``reference``: the reference order (batch 1), measured in turn with
    it. ``ratios``: how many times as many frames a second as the reference order, by round.
    """

    configuration: Configuration
    batch: int
    weights: str
    masker: Figures
    reference: Figures
    ratios: list[float]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    def to_json(self) -> dict[str, Any]:
        """The fields, and what is computed from them for who reads the file."""
        return {
            **asdict(self),
            "ratio": self.ratio,
            "mean_iou": self.masker.mean_iou,
            "reference_mean_iou": self.reference.mean_iou,
        }

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> Row:
        """What :meth:`to_json` gave."""
        return cls(
            configuration=Configuration(**entry["configuration"]),
            batch=entry["batch"],
            weights=entry["weights"],
            masker=Figures(**entry["masker"]),
            reference=Figures(**entry["reference"]),
            ratios=entry["ratios"],
        )


@dataclass(frozen=True)
class Problem:
    """Why a configuration could not be measured at a batch size."""

    configuration: Configuration
    batch: int
    reason: str


def batches_of(frames: np.ndarray, batch: int) -> list[np.ndarray]:
    """Full batches that hold every frame at least once, the first frames again at the end.

    :param frames: [N, ...]. :return: ceil(N / batch) arrays [batch, ...].
    """
    count = -(-len(frames) // batch)
    order = np.arange(count * batch) % len(frames)
    return [np.ascontiguousarray(frames[part]) for part in order.reshape(count, batch)]


def warm_up(run: Run, frames: np.ndarray, batch: int, truth: np.ndarray | None) -> list[float]:
    """Mask every frame once, untimed. :return: their IoU, nothing where ``truth`` is None."""
    masks = np.concatenate([run(chunk) for chunk in batches_of(frames, batch)])
    if truth is None:
        return []
    return [round(iou(mask, true), 4) for mask, true in zip(masks, truth, strict=False)]


def race(
    contenders: Sequence[tuple[Run, int]],
    frames: np.ndarray,
    rounds: int,
    advance: Callable[[], None] = lambda: None,
) -> list[list[list[float]]]:
    """Let contenders mask the same frames in turn, every other round in the opposite order.

    A machine that others use is now fast, now slow: what is compared is measured close together.

    :param contenders: each with its batch size. :param advance: called after each's turn.
    :return: seconds of every call: for each contender, for each round.
    """
    prepared = [batches_of(frames, batch) for _, batch in contenders]
    seconds: list[list[list[float]]] = [[] for _ in contenders]
    for number in range(rounds):
        turns = range(len(contenders))
        for turn in turns if number % 2 == 0 else reversed(turns):
            run = contenders[turn][0]
            seconds[turn].append([_timed(run, chunk) for chunk in prepared[turn]])
            advance()
    return seconds


def figures(
    seconds: list[list[float]], batch: int, ious: list[float], memory_mb: float | None
) -> Figures:
    """One contender's calls, by round, as figures."""
    calls = np.concatenate(seconds)
    p50, p95 = np.percentile(calls, [50, 95])
    return Figures(
        frames_per_s=batch / float(p50),
        latency_p50_ms=float(p50) * MS_PER_S,
        latency_p95_ms=float(p95) * MS_PER_S,
        calls=len(calls),
        ious=ious or None,
        peak_memory_mb=memory_mb,
    )


def ratios(masker: list[list[float]], batch: int, reference: list[list[float]]) -> list[float]:
    """Frames a second of the masker by those of the reference order, for each round."""
    pairs = zip(masker, reference, strict=True)
    return [batch * float(np.median(slow) / np.median(fast)) for fast, slow in pairs]


def _timed(run: Run, frames: np.ndarray) -> float:
    start = time.perf_counter()
    run(frames)
    return time.perf_counter() - start
