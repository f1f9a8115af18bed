"""``samg reference``: make the pictures, masks and points that say what to look for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import tyro
from rich.console import Console
from tyro.conf import OmitArgPrefixes, Positional

from samg_ros.masking.overlay import draw_overlay
from samg_ros.masking.reference import PART_POINTS, Reference, shipped_reference


@dataclass(frozen=True)
class SimOptions:
    """How the simulated episode is pictured.

    :param out: the file to write; the package's own place where none is given.
    :param seed: seed of the episode; evaluations use small ones.
    :param views: pictures along the episode; 1 is the reset alone, as SAM-G has it.
    :param size: side of the pictures, px.
    :param parts: part points on each target.
    """

    out: Path | None = None
    seed: int = 100_000
    views: int = 5
    size: int = 256
    parts: int = PART_POINTS


def sim(task: Positional[str], options: OmitArgPrefixes[SimOptions]) -> None:
    """Make a reference from the simulator's own segmentation, on its clean background.

    The task's shipped teacher moves the robot; without one, random actions do.

    :param task: name of the task, for example adroit_door.
    """
    from sim_bridge.reference_views import make_reference
    from sim_bridge.task import make_task

    simulated = make_task(task, height=options.size, width=options.size)
    try:
        reference = make_reference(
            simulated,
            _mover(task, simulated.spec.action_size, options.seed),
            seed=options.seed,
            views=options.views,
            parts=options.parts,
        )
    finally:
        simulated.close()
    _write(reference, options.out or shipped_reference(task))


def main(argv: list[str]) -> int:
    """Run ``samg reference sim TASK``."""
    tyro.extras.subcommand_cli_from_dict({"sim": sim}, prog="samg reference", args=argv)
    return 0


def preview(reference: Reference) -> np.ndarray:
    """A picture of every view beside its masks and points, uint8 [H, W, 3]."""
    rows = []
    for view in reference.views:
        height, width = view.image.shape[:2]
        panels = [view.image]
        for name in reference.names:
            shown = [target for target in view.targets if target.name == name]
            if not shown:
                panels.append(np.zeros_like(view.image))
                continue
            points = (shown[0].points + 0.5) / [width, height]
            labels = np.ones(len(points), int)
            panels.append(draw_overlay(view.image, shown[0].mask, points, labels))
        rows.append(np.hstack(panels))
    return np.vstack(rows)


def _mover(task: str, action_size: int, seed: int) -> Callable:
    from policies.checkpoints import shipped_teachers
    from policies.teacher import StateTeacher

    if task in shipped_teachers():
        teacher = StateTeacher.shipped(task)
        return lambda result: teacher.label(result.state)
    rng = np.random.default_rng(seed)
    return lambda result: rng.uniform(-1, 1, action_size)


def _write(reference: Reference, path: Path) -> None:
    reference.save(path)
    picture = Path.cwd() / f"{path.stem}_reference.png"
    cv2.imwrite(str(picture), preview(reference)[..., ::-1])
    console = Console()
    console.print(f"{path}: {len(reference.views)} views of {', '.join(reference.names)}")
    console.print(f"{picture}: what it looks like", soft_wrap=True)
