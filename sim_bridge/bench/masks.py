"""``samg bench masks``: how good the masks are, against the simulator's own segmentation."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table
from tyro.conf import OmitArgPrefixes

from samg_ros.errors import ConfigError
from samg_ros.images import masked
from samg_ros.io.progress import print_table
from samg_ros.masking.config import PAPER, MaskerConfig
from samg_ros.masking.masker import Masker
from samg_ros.masking.result import MaskResult
from samg_ros.masking.scores import boundary_f, iou
from samg_ros.parameters import documented, parameter, validate
from sim_bridge.experts.state import Mover, make_mover
from sim_bridge.perturbations.grammar import make_perturbation
from sim_bridge.scenes.scene import Scene
from sim_bridge.task import make_task

if TYPE_CHECKING:
    pass


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
    perturbation = make_perturbation(perturb, task)
    if hide and perturbation.backdrop is None:
        raise ConfigError(
            f"--hide paints targets over, and {perturb!r} has nothing to paint with; "
            "choose photos or video_hard=FOLDER"
        )
    scene = Scene(make_task(task, height=size, width=size), perturbation)
    act = make_mover(task, scene.task.spec.action_size, seeds.start)
    try:
        return [frame for seed in seeds for frame in _episode(scene, act, seed, per_episode, hide)]
    finally:
        scene.close()


def score_frames(
    masker: Masker, frames: list[TruthFrame], batch: int = 1
) -> Iterator[tuple[MaskScore, np.ndarray]]:
    """Mask frames of one size. :return: the score and the mask, bool [H, W], of each."""
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


def _episode(scene: Scene, act: Mover, seed: int, count: int, hide: bool) -> Iterator[TruthFrame]:
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
    "no second look": {"zoom": False},
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
KEYS = ("variant", "task", "perturb", "size")
FIGURES = ("frames", "IoU, 95 %", "worst", "boundary F", "found", "false found", "false lost")
NOTES = """\
IoU, boundary F: all targets together; 95 % over episodes. found: frames with every target found.
false found: targets said to be found, of those that are not in the picture. false lost: targets
said to be lost, of those that are."""


@documented
@dataclass(frozen=True)
class MasksBench:
    """Which frames are masked and scored."""

    tasks: tuple[str, ...] = parameter(("adroit_door",), "tasks whose reference ships")
    perturb: tuple[str, ...] = parameter(
        ("photos",), "how the tasks are made to look, such as none, photos, video_hard=FOLDER"
    )
    sizes: tuple[int, ...] = parameter((256,), "sides of the camera's picture, px")
    episodes: int = parameter(5, "episodes for each task, look and size", low=1)
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


def masks(bench: OmitArgPrefixes[MasksBench], masker: OmitArgPrefixes[MaskerConfig]) -> None:
    """IoU and boundary F-score against the simulator, with pictures of the worst frames."""

    folder = Path(bench.out or f"runs/bench_masks_{datetime.now():%Y%m%d_%H%M%S}")
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict] = []
    worst: list[tuple[float, np.ndarray]] = []
    configs = variants(masker, bench.ablate)
    for about, frame, score, mask in _scored(bench, configs):
        rows.append({**about, **asdict(score)})
        if about["variant"] == next(iter(configs)) and not frame.hidden:
            worst = sorted([*worst, (score.iou, _picture(frame, mask))], key=lambda e: e[0])
            del worst[WORST_FRAMES:]
    cv2.imwrite(str(folder / "worst.png"), np.vstack([p for _, p in worst])[..., ::-1])
    told = {name: asdict(config) for name, config in configs.items()}
    results = {"bench": asdict(bench), "maskers": told, "frames": rows}
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    table = _table(rows)
    print_table(table)
    console = Console()
    console.print(NOTES, highlight=False, soft_wrap=True)
    console.print(f"results.json and worst.png are in {folder}", soft_wrap=True)


def _scored(
    bench: MasksBench, configs: dict[str, MaskerConfig]
) -> Iterable[tuple[dict, TruthFrame, MaskScore, np.ndarray]]:
    """Every frame of the bench with what became of it, by every masker."""
    from samg_ros.masking.masker import build_masker
    from samg_ros.masking.reference import Reference, find_reference

    seeds = range(bench.seed, bench.seed + bench.episodes)
    for task in bench.tasks:
        reference = Reference.load(find_reference(task))
        sets = {
            (look, size): truth_frames(task, look, size, seeds, bench.frames, hide=bench.hide)
            for look in bench.perturb
            for size in bench.sizes
        }
        for variant, config in configs.items():
            built = build_masker(reference, config)
            for (look, size), frames in sets.items():
                label = ", ".join(filter(None, (variant, task, look, f"{size} px")))
                about = {"variant": variant, "task": task, "perturb": look, "size": size}
                scored = track(score_frames(built, frames, bench.batch), label, total=len(frames))
                for frame, (score, mask) in zip(frames, scored, strict=True):
                    yield about, frame, score, mask


def _table(rows: list[dict]) -> Table:
    """A line for each variant, task, look and size; what all have in common is not repeated."""
    differing = [key for key in KEYS if len({row[key] for row in rows}) > 1]
    title = ", ".join(_said(key, rows[0]) for key in KEYS if key not in differing)
    table = Table(title=title.removeprefix(", "), box=box.SIMPLE_HEAD)
    for heading in (*differing, *FIGURES):
        table.add_column(heading, no_wrap=True)
    for group in dict.fromkeys(_group(row) for row in rows):
        these = [row for row in rows if _group(row) == group]
        table.add_row(*(_said(key, these[0]) for key in differing), *_figures(these))
    return table


def _group(row: dict) -> tuple:
    return tuple(row[key] for key in KEYS)


def _said(key: str, row: dict) -> str:
    """A key as people read it: the folder of clips by its name alone, the size with its unit."""
    if key == "perturb":
        return ",".join(
            "=".join(Path(part).name for part in term.split("=")) for term in row[key].split(",")
        )
    return f"{row[key]} px" if key == "size" else row[key]


def _figures(rows: list[dict]) -> list[str]:
    from samg_ros.statistics import bootstrap_mean

    shown = [r for r in rows if not r["hidden"]]
    values = [r["iou"] for r in shown]
    return [
        str(len(shown)),
        str(bootstrap_mean(values, [r["seed"] for r in shown])),
        f"{min(values):.3f}",
        f"{np.mean([r['boundary_f'] for r in shown]):.3f}",
        f"{np.mean([r['status'] == 'found' for r in shown]):.2f}",
        _share(rows, visible=False, said="found"),
        _share(rows, visible=True, said="lost"),
    ]


def _share(rows: list[dict], *, visible: bool, said: str) -> str:
    """Of the targets that are (not) visible, those that the masker called so, as n of m."""
    statuses = [t["status"] for r in rows for t in r["targets"] if (t["visible"] > 0) == visible]
    return f"{statuses.count(said)}/{len(statuses)}" if statuses else "-"


def _picture(frame: TruthFrame, mask: np.ndarray) -> np.ndarray:
    """Raw, overlay and truth side by side, uint8 [256, 768, 3]."""
    from samg_ros.io.contact_sheet import draw_overlay

    truth = masked(frame.rgb, frame.truth)
    panels = [frame.rgb, draw_overlay(frame.rgb, mask), truth]
    return np.hstack([cv2.resize(p, (256, 256), interpolation=cv2.INTER_AREA) for p in panels])
