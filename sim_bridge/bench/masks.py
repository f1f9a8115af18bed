"""``samg bench masks``: how good the masks are, against the simulator's own segmentation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from tyro.conf import OmitArgPrefixes

from samg_ros.errors import ConfigError
from samg_ros.io.progress import print_table, progress
from samg_ros.io.run_folder import RunFolder, command_line
from samg_ros.masking.config import PAPER, MaskerConfig
from samg_ros.parameters import documented, parameter, validate

if TYPE_CHECKING:  # what --help has no need of, torch above all, takes seconds to import
    import numpy as np
    from rich.table import Table

    from samg_ros.masking.masker import Masker
    from samg_ros.masking.result import MaskResult
    from sim_bridge.scenes.scene import Scene
    from sim_bridge.task import Expert


@documented
@dataclass(frozen=True)
class MasksBench:
    """Which frames are masked and scored."""

    tasks: tuple[str, ...] = parameter(("adroit_door",), "tasks whose reference ships")
    perturb: str = parameter("photos", "perturbation, such as none, photos, video_hard=FOLDER")
    size: int = parameter(256, "side of the camera's picture", unit="px", low=16, high=2048)
    episodes: int = parameter(5, "episodes of each task", low=1)
    frames: int = parameter(4, "frames of each episode at most", low=1)
    hide: bool = parameter(
        False, "mask every frame also with each target painted over; needs a picture behind"
    )
    ablate: bool = parameter(False, "also with each step of the method left out, and as published")
    seed: int = parameter(0, "seed of the first episode", low=0)
    batch: int = parameter(1, "frames masked together", low=1)
    out: str = parameter("", "folder of the run; a new one under 'runs' by default")

    def __post_init__(self) -> None:
        validate(self)


# Control steps between two scored frames of an episode: neighbours look alike.
STRIDE = 9


@dataclass(frozen=True)
class TruthFrame:
    """A frame to be masked.

    ``rgb``: uint8 [H, W, 3]. ``targets``: uint8 [H, W], 0 or 1 + the index in ``names``.
    ``hidden``: the target that was painted over, or empty.
    """

    seed: int
    step: int
    rgb: np.ndarray
    targets: np.ndarray
    names: tuple[str, ...]
    hidden: str = ""

    @property
    def truth(self) -> np.ndarray:
        """Bool [H, W]: all targets."""
        return self.targets > 0


@dataclass(frozen=True)
class MaskScore:
    """How one frame was masked; ``score`` and ``status`` are what the masker itself says.

    ``targets``: of each, its name, how many pixels are ``visible``, its IoU, score and status.
    """

    seed: int
    step: int
    hidden: str
    iou: float
    boundary_f: float
    score: float
    status: str
    targets: list[dict]


def truth_frames(
    task: str, perturb: str, size: int, seeds: range, per_episode: int, *, hide: bool = False
) -> list[TruthFrame]:
    """Frames along one episode a seed, driven by the task's teacher or by random actions.

    :param size: side of the camera's picture, px. :param per_episode: frames at most.
    :param hide: every frame comes again with each target painted over by what is behind.
    :raises ConfigError: nothing is behind that a target could be painted over with.
    """
    from sim_bridge.experts.state import make_expert
    from sim_bridge.perturbations.grammar import make_perturbation
    from sim_bridge.scenes.scene import Scene
    from sim_bridge.task import make_task

    perturbation = make_perturbation(perturb, task)
    if hide and perturbation.backdrop is None:
        raise ConfigError(
            f"--hide paints targets over, and {perturb!r} has nothing to paint with; "
            "choose photos or video_hard=FOLDER"
        )
    scene = Scene(make_task(task, height=size, width=size), perturbation)
    act = make_expert(task, scene.task.spec.action_size, seeds.start)
    try:
        return [frame for seed in seeds for frame in _episode(scene, act, seed, per_episode, hide)]
    finally:
        scene.close()


def score_frames(
    masker: Masker, frames: list[TruthFrame], batch: int = 1
) -> Iterator[tuple[MaskScore, np.ndarray]]:
    """Mask frames of one size. :return: the score and the mask, bool [H, W], of each."""
    import numpy as np

    from samg_ros.masking.scores import boundary_f, iou

    for start in range(0, len(frames), batch):
        chunk = frames[start : start + batch]
        result = masker(np.stack([frame.rgb for frame in chunk]))
        for frame, found in zip(chunk, result, strict=True):
            yield (
                MaskScore(
                    seed=frame.seed,
                    step=frame.step,
                    hidden=frame.hidden,
                    iou=iou(found.mask, frame.truth),
                    boundary_f=boundary_f(found.mask, frame.truth),
                    score=found.score,
                    status=found.status,
                    targets=_targets(found, frame),
                ),
                found.mask,
            )


def _targets(found: MaskResult, frame: TruthFrame) -> list[dict]:
    """What became of each target of a frame."""
    from samg_ros.masking.scores import iou

    told = []
    for name, target in found.targets.items():
        truth = frame.targets == frame.names.index(name) + 1
        told.append(
            {
                "name": name,
                "visible": int(truth.sum()),
                "iou": iou(target.mask, truth),
                "score": target.score,
                "likeness": target.likeness,
                "status": target.status,
            }
        )
    return told


def _episode(scene: Scene, act: Expert, seed: int, count: int, hide: bool) -> Iterator[TruthFrame]:
    names = scene.task.spec.targets
    result = scene.reset(seed)
    for taken in range(count):
        for hidden in ("", *(names if hide else ())):
            frame = scene.observe(hide=(hidden,) if hidden else ())
            yield TruthFrame(seed, frame.step, frame.rgb, frame.targets, names, hidden)
        for _ in range(STRIDE if taken + 1 < count else 0):
            result = scene.act(act(result))
            if result.done or result.success:
                return


# What a variant changes of the configuration that is benched.
STEPS: dict[str, dict] = {
    "no zoom": {"zoom": False},
    "no clicks": {"clicks": False},
    "choice as published": {"agreement": 0.0},
    "choice by predicted IoU": {"agreement": 0.0, "scale_steps": 0},
    "one view": {"views": 1},
    "no part points": {"parts": False},
    "no negatives": {"negatives": False},
    "one refinement": {"refine_steps": 1},
    "no refinement": {"refine_steps": 0},
    "segmenter's features alone": {"features": "none"},
}


def variants(config: MaskerConfig, ablate: bool) -> dict[str, MaskerConfig]:
    """What is benched, by name: the configuration, then each step left out, then the paper's.

    A step that the configuration has left out already is not listed.

    :raises ConfigError: to ablate the paper's method leaves nothing to compare.
    """
    if not ablate:
        return {"": config}
    if config.method == "paper":
        raise ConfigError("leave out either --ablate or --method paper: the one shows the other")
    changed = {name: replace(config, **change) for name, change in STEPS.items()}
    paper = replace(config, **PAPER)
    told = {"as given": config, **{n: c for n, c in changed.items() if c != config}}
    return {**told, "as published": paper}


WORST_FRAMES = 12
SHOWN = 256  # px, the side of a picture on the sheet of the worst frames
HEADINGS = ("variant", "task", "frames", "IoU, 95 %", "worst", "boundary F", "found")
NOTES = """\
IoU, boundary F: all targets together; 95 % over episodes. found: frames with every target found.
false found: targets said to be found, of those that are not in the picture. false lost: targets
said to be lost, of those that are."""


def masks(bench: OmitArgPrefixes[MasksBench], masker: OmitArgPrefixes[MaskerConfig]) -> None:
    """IoU and boundary F-score against the simulator, with pictures of the worst frames."""
    from rich.console import Console

    from samg_ros.io.atomic import write_png
    from samg_ros.io.contact_sheet import draw_sheet
    from samg_ros.machine import machine

    configs = variants(masker, bench.ablate)
    told = {"bench": asdict(bench), "maskers": {n: asdict(c) for n, c in configs.items()}}
    command = f"{command_line('samg bench masks', bench, ['out'])}{command_line('', masker)}"
    rows: list[dict[str, Any]] = []
    worst: list[tuple[float, str, list[np.ndarray]]] = []
    with RunFolder.begin("bench_masks", told, command, out=bench.out) as folder:
        for variant, task, frame, score, mask in _scored(bench, configs):
            rows.append({"variant": variant, "task": task, **asdict(score)})
            if variant == next(iter(configs)) and not frame.hidden:
                label = f"{task} seed {frame.seed} step {frame.step} IoU {score.iou:.3f}"
                worst.append((score.iou, label, _pictures(frame, mask)))
                worst = sorted(worst, key=lambda entry: entry[0])[:WORST_FRAMES]
        figures = [_figures(variant, task, rows) for variant in configs for task in bench.tasks]
        folder.write_results({"machine": machine(), "figures": figures, "frames": rows})
        labels, pictures = [label for _, label, _ in worst], [shown for *_, shown in worst]
        sheet = draw_sheet(("raw", "mask", "truth"), labels, pictures)
        write_png(folder.path / "worst.png", sheet)
        print_table(_table(figures, bench))
        console = Console()
        console.print(NOTES, highlight=False, soft_wrap=True)
        console.print(f"results.json and worst.png are in {folder.path}", soft_wrap=True)


def _scored(
    bench: MasksBench, configs: dict[str, MaskerConfig]
) -> Iterator[tuple[str, str, TruthFrame, MaskScore, np.ndarray]]:
    """Every frame with what became of it: the variant, the task, the frame, its score and mask."""
    from samg_ros.masking.masker import build_masker
    from samg_ros.masking.reference import Reference, find_reference

    seeds = range(bench.seed, bench.seed + bench.episodes)
    for task in bench.tasks:
        reference = Reference.load(find_reference(task))
        frames = truth_frames(
            task, bench.perturb, bench.size, seeds, bench.frames, hide=bench.hide
        )
        for variant, config in configs.items():
            built = build_masker(reference, config)
            with progress(f"{task} {variant}".strip(), len(frames), lines=False) as report:
                scored = score_frames(built, frames, bench.batch)
                for number, (frame, one) in enumerate(zip(frames, scored, strict=True), 1):
                    report(number, f"IoU {one[0].iou:.3f}")
                    yield variant, task, frame, *one


def _figures(variant: str, task: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What the frames of one variant and task amount to."""
    from statistics import fmean

    from samg_ros.statistics import bootstrap_mean

    own = [row for row in rows if (row["variant"], row["task"]) == (variant, task)]
    shown = [row for row in own if not row["hidden"]]
    values = [row["iou"] for row in shown]
    return {
        "variant": variant,
        "task": task,
        "frames": len(shown),
        "iou": asdict(bootstrap_mean(values, [row["seed"] for row in shown])),
        "worst_iou": min(values),
        "boundary_f": fmean(row["boundary_f"] for row in shown),
        "found": fmean(row["status"] == "found" for row in shown),
        "false_found": _share(own, visible=False, said="found"),
        "false_lost": _share(own, visible=True, said="lost"),
    }


def _share(rows: list[dict[str, Any]], *, visible: bool, said: str) -> str:
    """Of the targets that are (not) visible, those that the masker called so, as n/m."""
    statuses = [t["status"] for r in rows for t in r["targets"] if (t["visible"] > 0) == visible]
    return f"{statuses.count(said)}/{len(statuses)}" if statuses else "-"


def _table(figures: list[dict[str, Any]], bench: MasksBench) -> Table:
    """A line for each variant and task."""
    from rich import box
    from rich.table import Table

    from samg_ros.statistics import Interval

    title = f"{bench.perturb}, {bench.size} px"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for heading in (*HEADINGS[not bench.ablate :], "false found", "false lost"):
        table.add_column(heading, no_wrap=True)
    for row in figures:
        numbers = [f"{row['worst_iou']:.3f}", f"{row['boundary_f']:.3f}", f"{row['found']:.2f}"]
        cells = [row["task"], str(row["frames"]), str(Interval(**row["iou"])), *numbers]
        first = [row["variant"]] if bench.ablate else []
        table.add_row(*first, *cells, row["false_found"], row["false_lost"])
    return table


def _pictures(frame: TruthFrame, mask: np.ndarray) -> list[np.ndarray]:
    """Raw, overlay and truth, uint8 [256, 256, 3] each."""
    import cv2

    from samg_ros.images import masked
    from samg_ros.io.contact_sheet import draw_overlay

    panels = [frame.rgb, draw_overlay(frame.rgb, mask), masked(frame.rgb, frame.truth)]
    return [cv2.resize(p, (SHOWN, SHOWN), interpolation=cv2.INTER_AREA) for p in panels]
