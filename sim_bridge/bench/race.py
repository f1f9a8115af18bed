"""How fast the masker is, beside the reference order of work: in turn, on the same frames."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from samg_ros.masking.config import MaskerConfig
from samg_ros.masking.reference import Reference
from samg_ros.masking.scores import iou
from sim_bridge.bench import contenders
from sim_bridge.bench.contenders import (
    VARIED,
    MaskerBench,
    Request,
    Run,
    batches_of,
    peak_memory_mb,
)

MS_PER_S = 1000.0


@dataclass(frozen=True)
class Frames:
    """``rgb``: uint8 [N, H, W, 3]. ``truth``: bool [N, H, W]. ``seeds``: the episode of each."""

    rgb: np.ndarray
    truth: np.ndarray
    seeds: list[int]


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


def configuration(config: MaskerConfig) -> Configuration:
    """What is varied of the masker's options."""
    varied = {name: getattr(config, name) for name in VARIED.values()}
    return Configuration(features=config.features, **varied)


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


Say = Callable[[str], None]
Measured = tuple[list[Row], list[Problem]]


class Match:
    """Measures configurations on the frames of a run.

    The reference order, and what memory it took, are kept for the next configuration that has the
    same; its speed is measured with each anew.
    """

    def __init__(
        self, bench: MaskerBench, frames: Frames, frames_file: Path, reference: Path
    ) -> None:
        self._bench = bench
        self._frames = frames
        self._frames_file = frames_file
        self._reference_file = reference
        self._reference = Reference.load(reference)
        self._order: tuple[tuple, Run] | None = None
        self._order_memory: dict[tuple, float | None] = {}

    def __call__(
        self, config: MaskerConfig, batches: list[int], say: Say, advance: Callable[[], None]
    ) -> Measured:
        """Measure one configuration at some batch sizes.

        :param say: is told what is being done. :param advance: called after each turn.
        :raises SamgError: memory could not be measured.
        """
        named = configuration(config)
        say(f"{named}: weights")
        why_not = contenders.missing_weights(config)
        random = bool(why_not)
        if why_not and not self._bench.random_weights:
            reason = f"no weights: {why_not.splitlines()[0]}"
            return [], [Problem(named, batch, reason) for batch in batches]
        memory = self._memory(config, batches, random, say)
        say(f"{named}: loading")
        run = contenders.masker_run(self._reference, config, random)
        order = self._reference_order(config, random)
        say(f"{named}: masking")
        return self._race(config, batches, random, (run, order), memory, advance)

    def _race(
        self,
        config: MaskerConfig,
        batches: list[int],
        random: bool,
        runs: tuple[Run, Run],
        memory: tuple[dict[int, float | None], float | None],
        advance: Callable[[], None],
    ) -> Measured:
        """The masker at each batch size and the reference order, in turn."""
        (run, order), named = runs, configuration(config)
        rgb, truth = self._frames.rgb, None if random else self._frames.truth
        fitting, problems = {}, []
        for batch in batches:
            try:
                fitting[batch] = warm_up(run, rgb, batch, truth)
            except torch.OutOfMemoryError:
                problems.append(Problem(named, batch, "out of memory"))
        order_ious = warm_up(order, rgb, 1, truth)
        entrants = [(run, batch) for batch in fitting]
        *timed, slow = race([*entrants, (order, 1)], rgb, self._bench.repeats, advance)
        beside = figures(slow, 1, order_ious, memory[1])
        weights, rows = "random" if random else "real", []
        for (batch, ious), seconds in zip(fitting.items(), timed, strict=True):
            measured = figures(seconds, batch, ious, memory[0].get(batch))
            compared = ratios(seconds, batch, slow)
            rows.append(Row(named, batch, weights, measured, beside, compared))
        return rows, problems

    def _reference_order(self, config: MaskerConfig, random: bool) -> Run:
        key = self._order_key(config, random)
        if self._order is None or self._order[0] != key:
            self._order = None  # lets go of its memory first
            size = self._order_size(config)
            run = contenders.reference_order_run(self._reference, config, random, size)
            self._order = key, run
        return self._order[1]

    def _order_key(self, config: MaskerConfig, random: bool) -> tuple:
        """What makes two configurations' reference orders the same."""
        return config.segmenter, config.device, self._order_size(config), random

    def _order_size(self, config: MaskerConfig) -> int:
        return self._bench.reference_size or config.input_size

    def _memory(
        self, config: MaskerConfig, batches: list[int], random: bool, say: Say
    ) -> tuple[dict[int, float | None], float | None]:
        """Peak MB of the masker by batch size, and of the reference order."""
        if not self._bench.memory:
            return {}, None

        def ask(contender: str, sizes: list[int]) -> dict[int, float | None]:
            say(f"{configuration(config)}: memory of the {contender.replace('_', ' ')}")
            request = Request(
                contender=contender,
                config=asdict(config),
                reference=str(self._reference_file),
                frames=str(self._frames_file),
                batches=sizes,
                random_weights=random,
                input_size=self._order_size(config),
            )
            return peak_memory_mb(request)

        key = self._order_key(config, random)
        if key not in self._order_memory:
            self._order_memory[key] = ask("reference_order", [1])[1]
        return ask("masker", batches), self._order_memory[key]
