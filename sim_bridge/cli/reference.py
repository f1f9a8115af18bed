"""``samg reference``: make the pictures, masks and points that say what to look for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import OmitArgPrefixes, Positional

from samg_ros.errors import InvalidReferenceError
from samg_ros.masking.config import PART_POINTS
from samg_ros.parameters import documented, parameter, validate


@documented
@dataclass(frozen=True)
class SimOptions:
    """How the simulated episodes are pictured."""

    out: str = parameter("", "file to write; the package's own place where none is given")
    overwrite: bool = parameter(False, "replace a file that is there")
    seed: int = parameter(
        100_000, "seed of the first episode; evaluations use small ones", low=0, high=2**31 - 1000
    )
    views: int = parameter(
        5, "pictures along the episodes; 1 is a reset alone, as SAM-G has it", low=1, high=256
    )
    episodes: int = parameter(
        1,
        "episodes that the pictures show in turn: more than one where a reset draws what then "
        "stays, such as a goal",
        low=1,
        high=256,
    )
    size: int = parameter(256, "side of the pictures", unit="px", low=16, high=2048)
    parts: int = parameter(PART_POINTS, "part points on each target", low=0, high=64)

    def __post_init__(self) -> None:
        validate(self)


def sim(task: Positional[str], options: OmitArgPrefixes[SimOptions]) -> None:
    """Make a reference from the simulator's own segmentation, on its clean background.

    The task's shipped teacher moves the robot; without one, random actions do.

    :param task: name of the task, for example adroit_door.
    """
    from samg_ros.cli.reference_files import save
    from samg_ros.masking.reference import shipped_reference
    from sim_bridge.experts.state import make_expert
    from sim_bridge.scenes.reference_views import make_reference
    from sim_bridge.task import make_task

    path = Path(options.out) if options.out else shipped_reference(task)
    if path.exists() and not options.overwrite:
        raise InvalidReferenceError(
            f"{path} is there already: --overwrite replaces it, --out names another file"
        )
    simulated = make_task(task, height=options.size, width=options.size)
    try:
        reference = make_reference(
            simulated,
            make_expert(task, simulated.spec.action_size, options.seed),
            seed=options.seed,
            views=options.views,
            episodes=options.episodes,
            parts=options.parts,
        )
    finally:
        simulated.close()
    save(reference, path)
