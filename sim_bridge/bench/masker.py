"""``samg bench masker``: how fast the masker is, and how much faster than SAM-G's own order."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from tyro.conf import OmitArgPrefixes

from samg_ros.errors import ConfigError
from samg_ros.io.progress import print_table, progress
from samg_ros.io.run_folder import RunFolder, command_line
from samg_ros.masking.config import MaskerConfig
from samg_ros.parameters import documented, parameter, validate

if TYPE_CHECKING:  # what --help has no need of, torch above all, takes seconds to import
    import numpy as np
    from rich.table import Table

    from sim_bridge.bench.contenders import Run, Setup

MS_PER_S = 1000.0


@documented
@dataclass(frozen=True)
class MaskerBench:
    """What is measured of one configuration of the masker."""

    task: str = parameter("adroit_door", "task whose frames are masked")
    reference: str = parameter("", "reference .npz; empty takes the task's")
    batches: tuple[int, ...] = parameter((1, 4), "numbers of frames masked together")
    perturb: str = parameter("photos", "perturbation, such as none, photos, video_hard=FOLDER")
    size: int = parameter(256, "side of the camera's picture", unit="px", low=16, high=2048)
    episodes: int = parameter(2, "episodes the frames are from", low=1)
    frames: int = parameter(4, "frames of each episode at most", low=1)
    repeats: int = parameter(3, "times all frames are masked by each in turn", low=1)
    seed: int = parameter(0, "seed of the first episode", low=0)
    reference_size: int = parameter(
        512,
        "side of the segmenter's input in the reference order of work (the paper's: 512); 0 takes "
        "the masker's own",
        unit="px",
        low=0,
        high=2048,
    )
    random_weights: bool = parameter(
        False, "where a model's weights cannot be had, measure speed alone with random ones"
    )
    memory: bool = parameter(True, "measure peak memory, in processes of their own")
    out: str = parameter("", "folder of the run; a new one under 'runs' by default")

    def __post_init__(self) -> None:
        validate(self)
        if not self.batches:
            raise ConfigError("batches is empty; name at least one size, such as 1")
        if min(self.batches) < 1:
            raise ConfigError(f"batches are {self.batches}; each must be at least 1")


@dataclass(frozen=True)
class Row:
    """What was measured of one contender at one batch size.

    A call's latency is from frames on the host to masks and masked frames on the host, and
    ``frames_per_s`` is the batch by its median. ``ious``: of each frame against the simulator's
    mask; empty where random weights make it meaningless. ``ratios``: how many times as many
    frames a second as the reference order, by round; empty for the reference order itself.
    ``problem``: why nothing could be measured, or empty.
    """

    contender: str
    batch: int
    frames_per_s: float = 0.0
    latency_p50_ms: float = 0.0
    latency_p95_ms: float = 0.0
    calls: int = 0
    peak_memory_mb: float | None = None
    ious: Sequence[float] = ()
    ratios: Sequence[float] = ()
    problem: str = ""

    @property
    def mean_iou(self) -> float | None:
        return statistics.fmean(self.ious) if self.ious else None

    @property
    def ratio(self) -> float | None:
        return statistics.median(self.ratios) if self.ratios else None

    def to_json(self) -> dict[str, Any]:
        """The fields, and what is computed from them for who reads the file."""
        return {**asdict(self), "mean_iou": self.mean_iou, "ratio": self.ratio}


@dataclass(frozen=True)
class Frames:
    """``rgb``: uint8 [N, H, W, 3]. ``truth``: bool [N, H, W]. ``seeds``: the episode of each."""

    rgb: np.ndarray
    truth: np.ndarray
    seeds: list[int]


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
    from sim_bridge.bench.contenders import batches_of

    prepared = [batches_of(frames, batch) for _, batch in contenders]
    seconds: list[list[list[float]]] = [[] for _ in contenders]
    for number in range(rounds):
        turns = range(len(contenders))
        for turn in turns if number % 2 == 0 else reversed(turns):
            run = contenders[turn][0]
            seconds[turn].append([_timed(run, chunk) for chunk in prepared[turn]])
            advance()
    return seconds


def warm_up(run: Run, frames: np.ndarray, batch: int, truth: np.ndarray | None) -> list[float]:
    """Mask every frame once, untimed. :return: their IoU, nothing where ``truth`` is None."""
    from samg_ros.masking.scores import iou
    from sim_bridge.bench.contenders import batches_of

    masks = [mask for chunk in batches_of(frames, batch) for mask in run(chunk)]
    pairs = [] if truth is None else zip(masks, truth, strict=False)  # the first come twice
    return [round(iou(mask, true), 4) for mask, true in pairs]


def figures(contender: str, batch: int, seconds: list[list[float]]) -> Row:
    """One contender's calls, by round, as figures."""
    import numpy as np

    calls = np.concatenate(seconds)
    p50, p95 = np.percentile(calls, [50, 95])
    return Row(
        contender,
        batch,
        frames_per_s=batch / float(p50),
        latency_p50_ms=float(p50) * MS_PER_S,
        latency_p95_ms=float(p95) * MS_PER_S,
        calls=len(calls),
    )


def ratios(masker: list[list[float]], batch: int, reference: list[list[float]]) -> list[float]:
    """Frames a second of the masker by those of the reference order, for each round."""
    pairs = zip(masker, reference, strict=True)
    return [batch * statistics.median(slow) / statistics.median(fast) for fast, slow in pairs]


def measure(setup: Setup, frames: Frames, bench: MaskerBench) -> list[Row]:
    """The reference order's row, then the masker's at each batch size, measured in turn."""
    import torch

    from sim_bridge.bench.contenders import MASKER, REFERENCE_ORDER, peak_memory_mb

    batches = list(dict.fromkeys(bench.batches))
    truth = None if setup.random_weights else frames.truth
    memory: dict[tuple[str, int], float | None] = {}
    turns = bench.repeats * (len(batches) + 1)
    with progress(bench.task, turns, lines=False) as report:
        for contender, sizes in ((REFERENCE_ORDER, [1]), (MASKER, batches)):
            if bench.memory:  # first, while this process takes up little
                report(0, f"memory of the {contender}")
                peaks = peak_memory_mb(setup, contender, frames.rgb, sizes)
                memory |= {(contender, batch): peak for batch, peak in peaks.items()}
        report(0, "loading")
        order, run = setup.build(REFERENCE_ORDER), setup.build(MASKER)
        ious = {(REFERENCE_ORDER, 1): warm_up(order, frames.rgb, 1, truth)}
        too_large = []
        for batch in batches:
            try:
                ious[MASKER, batch] = warm_up(run, frames.rgb, batch, truth)
            except torch.OutOfMemoryError:
                too_large.append(Row(MASKER, batch, problem="out of memory"))
        done = iter(range(1, turns + 1))
        entrants = [(order, 1), *((run, batch) for _, batch in list(ious)[1:])]
        timed = race(entrants, frames.rgb, bench.repeats, lambda: report(next(done), "masking"))
    rows = []
    for (contender, batch), seconds in zip(ious, timed, strict=True):
        row = figures(contender, batch, seconds)
        compared = ratios(seconds, batch, timed[0]) if contender == MASKER else []
        peak = memory.get((contender, batch))
        scored = ious[contender, batch]
        rows.append(replace(row, peak_memory_mb=peak, ious=scored, ratios=compared))
    return [*rows, *too_large]


def _timed(run: Run, frames: np.ndarray) -> float:
    start = time.perf_counter()
    run(frames)
    return time.perf_counter() - start


NOTES = """\
reference order: SAM-G's own order of work, fp32, one frame at a time, measured in turn with the
masker. MB: peak above a process that has imported everything. IoU gained: paired, 95 % over
episodes. times as fast: frames/s by the reference's, median of the rounds, least and most."""
HEADINGS = ("", "batch", "frames/s", "p50 ms", "p95 ms", "MB", "IoU")


def masker(bench: OmitArgPrefixes[MaskerBench], masker: OmitArgPrefixes[MaskerConfig]) -> None:
    """Frames a second, latency, memory and IoU, beside the reference order of work."""
    import torch
    from rich.console import Console

    from samg_ros.machine import describe, machine
    from samg_ros.masking.reference import find_reference
    from sim_bridge.bench.contenders import settle

    reference = find_reference(bench.reference or bench.task)
    setup = settle(masker, reference, bench.reference_size, bench.random_weights)
    command = f"{command_line('samg bench masker', bench, ['out'])}{command_line('', masker)}"
    settings = {"bench": asdict(bench), "masker": asdict(setup.config)}
    console = Console()
    with RunFolder.begin("bench_masker", settings, command, out=bench.out) as folder:
        with console.status(f"frames of {bench.task}"):
            frames = frames_of(bench)
        rows = measure(setup, frames, bench)
        title = describe_masker(setup)
        about = {**machine(), "threads": torch.get_num_threads()}
        results = {
            "configuration": title,
            "weights": "random" if setup.random_weights else "real",
            "machine": about,
            "seeds": frames.seeds,
            "rows": [row.to_json() for row in rows],
        }
        folder.write_results(results)
        print_table(table(rows, frames.seeds, title))
        for row in rows:
            if row.problem:
                console.print(f"batch {row.batch}: {row.problem}")
        console.print(f"{NOTES}\n{describe(about)}", highlight=False, soft_wrap=True)
        console.print(f"results.json is in {folder.path}", soft_wrap=True)


def frames_of(bench: MaskerBench) -> Frames:
    """What is to be masked, from the simulator."""
    import numpy as np

    from sim_bridge.bench.masks import truth_frames

    seeds = range(bench.seed, bench.seed + bench.episodes)
    made = truth_frames(bench.task, bench.perturb, bench.size, seeds, bench.frames)
    return Frames(
        rgb=np.stack([frame.rgb for frame in made]),
        truth=np.stack([frame.truth for frame in made]),
        seeds=[frame.seed for frame in made],
    )


def describe_masker(setup: Setup) -> str:
    """The configuration in one line."""
    config = setup.config
    second = "" if config.features == "none" else f" + {config.features} {config.feature_size}"
    models = f"{config.segmenter} {config.input_size}{second}"
    random = ", random weights" if setup.random_weights else ""
    return f"{models}, {config.precision}, {config.device}{random}"


def table(rows: Sequence[Row], seeds: list[int], title: str) -> Table:
    """The reference order, and below it the masker by batch size."""
    from rich import box
    from rich.table import Table

    found = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in (*HEADINGS, "IoU gained", "times as fast"):
        found.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        if row.problem:
            continue
        speeds = (row.frames_per_s, row.latency_p50_ms, row.latency_p95_ms)
        memory = "-" if row.peak_memory_mb is None else f"{row.peak_memory_mb:.0f}"
        quality = "-" if row.mean_iou is None else f"{row.mean_iou:.3f}"
        spread = "1"
        if row.ratios:
            spread = f"{row.ratio:.2f} [{min(row.ratios):.2f}, {max(row.ratios):.2f}]"
        numbers = [f"{speeds[0]:.2f}", *(f"{ms:.0f}" for ms in speeds[1:]), memory, quality]
        gained = _gain(row, rows[0], seeds)
        found.add_row(row.contender, str(row.batch), *numbers, gained, spread)
    return found


def _gain(row: Row, reference: Row, seeds: list[int]) -> str:
    """By how much the masker's IoU is above the reference order's, frame by frame."""
    from samg_ros.statistics import bootstrap_mean

    if not row.ratios or not row.ious or not reference.ious:
        return "-"
    pairs = zip(row.ious, reference.ious, strict=True)
    gained = bootstrap_mean([ours - theirs for ours, theirs in pairs], seeds)
    return str(gained) if len(set(seeds)) > 1 else f"{gained.mean:.3f}"
