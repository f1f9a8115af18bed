"""``samg bench masks``: how good the masks are, against the simulator's own segmentation."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
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

from samg_ros.cli.wide_table import print_table
from samg_ros.masking.config import MaskerConfig
from samg_ros.parameters import documented, parameter, validate

if TYPE_CHECKING:
    from samg_ros.bench.masks import MaskScore, TruthFrame

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
    from samg_ros.bench.variants import variants

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
    from samg_ros.bench.masks import score_frames, truth_frames
    from samg_ros.masking.build import build_masker
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
    from samg_ros.bench.summary import bootstrap_mean

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
    from samg_ros.masking.overlay import draw_overlay

    truth = frame.rgb * frame.truth[..., None]
    panels = [frame.rgb, draw_overlay(frame.rgb, mask), truth]
    return np.hstack([cv2.resize(p, (256, 256), interpolation=cv2.INTER_AREA) for p in panels])
