"""``samg reference``: make the pictures, masks and points that say what to look for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tyro
from tyro.conf import OmitArgPrefixes, Positional

from samg_ros.cli.reference_clicks import clicks, protect_negative_clicks
from samg_ros.cli.reference_files import files
from samg_ros.cli.reference_saving import save
from samg_ros.masking.reference import PART_POINTS, shipped_reference


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
    from policies.mover import make_mover
    from sim_bridge.reference_views import make_reference
    from sim_bridge.task import make_task

    simulated = make_task(task, height=options.size, width=options.size)
    try:
        reference = make_reference(
            simulated,
            make_mover(task, simulated.spec.action_size, options.seed),
            seed=options.seed,
            views=options.views,
            parts=options.parts,
        )
    finally:
        simulated.close()
    save(reference, options.out or shipped_reference(task))


def main(argv: list[str]) -> int:
    """Run ``samg reference sim | files | clicks``."""
    commands: dict[str, Callable] = {"sim": sim, "files": files, "clicks": clicks}
    args = protect_negative_clicks(argv)
    tyro.extras.subcommand_cli_from_dict(commands, prog="samg reference", args=args)
    return 0
