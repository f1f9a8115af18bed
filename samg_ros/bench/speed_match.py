"""One configuration of the masker and the reference order of work, measured in turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from samg_ros.bench import contenders
from samg_ros.bench.contenders import Run
from samg_ros.bench.memory import Request, peak_memory_mb
from samg_ros.bench.speed import Problem, Row, figures, race, ratios, warm_up
from samg_ros.bench.speed_folder import SpeedFolder, configuration
from samg_ros.bench.speed_options import MaskerBench
from samg_ros.masking.config import MaskerConfig
from samg_ros.masking.reference import Reference

Say = Callable[[str], None]
Measured = tuple[list[Row], list[Problem]]


class Match:
    """Measures configurations on the frames of a run.

    The reference order, and what memory it took, are kept for the next configuration that has the
    same; its speed is measured with each anew.
    """

    def __init__(self, bench: MaskerBench, folder: SpeedFolder, reference: Path) -> None:
        self._bench = bench
        self._frames = folder.frames
        self._frames_file = folder.frames_file
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
