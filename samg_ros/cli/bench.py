"""``samg bench``: figures to compare by, each run in a folder with its configuration."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table
from tyro.conf import OmitArgPrefixes

from samg_ros.cli.bench_masker import masker
from samg_ros.masking.config import MaskerConfig
from samg_ros.parameters import documented, parameter, validate

WORST_FRAMES = 12


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
    seed: int = parameter(0, "seed of the first episode", low=0)
    batch: int = parameter(1, "frames masked together", low=1)
    out: str = parameter("", "folder of the run; a new one under 'runs' by default")

    def __post_init__(self) -> None:
        validate(self)


def masks(bench: OmitArgPrefixes[MasksBench], masker: OmitArgPrefixes[MaskerConfig]) -> None:
    """IoU and boundary F-score against the simulator, with pictures of the worst frames."""
    from samg_ros.bench.masks import score_frames, truth_frames
    from samg_ros.masking.build import build_masker
    from samg_ros.masking.reference import Reference, find_reference

    folder = Path(bench.out or f"runs/bench_masks_{datetime.now():%Y%m%d_%H%M%S}")
    folder.mkdir(parents=True, exist_ok=True)
    seeds = range(bench.seed, bench.seed + bench.episodes)
    rows, worst = [], []
    for task in bench.tasks:
        built = build_masker(Reference.load(find_reference(task)), masker)
        for perturb in bench.perturb:
            for size in bench.sizes:
                frames = truth_frames(task, perturb, size, seeds, bench.frames)
                label = f"{task}, {perturb}, {size} px"
                scored = track(score_frames(built, frames, bench.batch), label, total=len(frames))
                for frame, (score, mask) in zip(frames, scored, strict=True):
                    about = {"task": task, "perturb": perturb, "size": size}
                    rows.append({**about, **asdict(score)})
                    worst.append((score.iou, _picture(frame, mask)))
    worst.sort(key=lambda entry: entry[0])
    cv2.imwrite(str(folder / "worst.png"), _sheet([p for _, p in worst[:WORST_FRAMES]]))
    results = {"bench": asdict(bench), "masker": asdict(masker), "frames": rows}
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    _show(rows, folder)


def main(argv: list[str]) -> int:
    """Run ``samg bench masks`` or ``samg bench masker``."""
    commands: dict[str, Callable] = {"masks": masks, "masker": masker}
    tyro.extras.subcommand_cli_from_dict(commands, prog="samg bench", args=argv)
    return 0


def _show(rows: list[dict], folder: Path) -> None:
    from samg_ros.bench.summary import bootstrap_mean

    table = Table(title="masks against the simulator's segmentation")
    columns = ("task", "perturb", "px", "frames", "IoU, 95 %", "worst", "boundary F", "found")
    for heading in columns:
        table.add_column(heading)
    keys = list(dict.fromkeys((r["task"], r["perturb"], r["size"]) for r in rows))
    for task, perturb, size in keys:
        these = [r for r in rows if (r["task"], r["perturb"], r["size"]) == (task, perturb, size)]
        values = [r["iou"] for r in these]
        table.add_row(
            task,
            perturb,
            str(size),
            str(len(these)),
            str(bootstrap_mean(values, [r["seed"] for r in these])),
            f"{min(values):.3f}",
            f"{np.mean([r['boundary_f'] for r in these]):.3f}",
            f"{np.mean([r['status'] == 'found' for r in these]):.2f}",
        )
    console = Console()
    console.print(table)
    console.print(f"results.json and worst.png are in {folder}", soft_wrap=True)


def _picture(frame, mask: np.ndarray) -> np.ndarray:
    """Raw, overlay and truth side by side, uint8 [256, 768, 3]."""
    from samg_ros.masking.overlay import draw_overlay

    truth = frame.rgb * frame.truth[..., None]
    panels = [frame.rgb, draw_overlay(frame.rgb, mask), truth]
    return np.hstack([cv2.resize(p, (256, 256), interpolation=cv2.INTER_AREA) for p in panels])


def _sheet(pictures: list[np.ndarray]) -> np.ndarray:
    """Pictures one above the other, as OpenCV writes them (BGR)."""
    return np.vstack(pictures)[..., ::-1]
