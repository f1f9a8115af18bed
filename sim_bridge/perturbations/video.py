"""Another world behind the targets: photographs, noise, or clips as in DMC-GB's video modes.

DMC-GB (arXiv 2011.13389) shows a clip where the sky is green, in ``video_hard`` where the floor is
too; here the simulator's own segmentation says where.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from samg_ros.errors import ConfigError, quoted
from samg_ros.io.atomic import is_folder, typed_path
from sim_bridge.perturbations.grammar import Backdrop, Kind, perturbations
from sim_bridge.render.parts import TaskParts


def _photos(argument: str, parts: TaskParts) -> Backdrop:
    from sim_bridge.perturbations.backgrounds import photos

    return Backdrop(photos(), keeps_floor=False)


def _noise(argument: str, parts: TaskParts) -> Backdrop:
    from sim_bridge.perturbations.backgrounds import NoiseBackground

    return Backdrop(NoiseBackground(), keeps_floor=False)


def _video(name: str, argument: str, parts: TaskParts) -> Backdrop:
    from sim_bridge.perturbations.backgrounds import folder

    path = typed_path(argument)
    if not argument or not is_folder(path):
        given = f"no folder {quoted(argument)}" if argument else "no folder is given"
        raise ConfigError(
            f"perturbation {name!r}: {given}; write {name}=FOLDER, a folder of videos or pictures"
        )
    return Backdrop(folder(path), keeps_floor=name == "video_easy")


def _register(name: str, make: Callable[..., Backdrop], argument: str, shows: str) -> None:
    alone = "put a picture behind the task"
    perturbations.register(name)(Kind(make, argument, shows, alone=alone))


_register("photos", _photos, "", "photographs behind the targets")
_register("noise", _noise, "", "moving textures behind the targets (for training, never to score)")
_register(
    "video_easy",
    partial(_video, "video_easy"),
    "=FOLDER",
    "clips behind the floor and the targets",
)
_register("video_hard", partial(_video, "video_hard"), "=FOLDER", "clips behind the targets")
