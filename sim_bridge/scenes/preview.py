"""What tasks look like under perturbations: pictures to look at, with the true masks."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from samg_ros.errors import ConfigError
from sim_bridge.perturbations.backgrounds import photo_files
from sim_bridge.perturbations.grammar import INTENSITIES, make_perturbation, parse, perturbations
from sim_bridge.scenes.scene import Scene, SceneFrame
from sim_bridge.task import Expert, Task

_GRADED = "=" + "|".join(INTENSITIES)
_FOLDER = "=FOLDER"


@dataclass(frozen=True)
class Preview:
    """One picture of ``task`` in the episode of ``seed``; ``label`` says how it is perturbed."""

    task: str
    label: str
    seed: int
    frame: SceneFrame


def previews(
    task: Task,
    perturbs: Mapping[str, str],
    seeds: Sequence[int],
    *,
    step: int = 0,
    experts: Callable[[int], Expert] | None = None,
    camera: str | None = None,
) -> Iterator[Preview]:
    """For every seed, a picture under each of ``perturbs``.

    :param perturbs: label -> text, as :func:`make_perturbation` takes it.
    :param step: which control step is shown; ``experts`` makes, of an episode's seed, what gives
        the actions that lead there; it is not needed for step 0, the reset. An episode that ends
        before is shown at its end.
    :raises ConfigError: a text that cannot be read, or does not suit the task.
    :raises SimulationError: unknown camera, or a bad seed.
    """
    name = task.spec.name
    made = {label: make_perturbation(text, name) for label, text in perturbs.items()}
    scene = Scene(task)
    for seed in seeds:
        result = scene.reset(seed)
        move = experts(seed) if experts else None
        while move is not None and result.step < step and not result.done:
            result = scene.act(move(result))
        for label, perturbation in made.items():
            scene.perturb(perturbation)
            yield Preview(name, label, seed, scene.observe(camera))


def settings() -> tuple[str, ...]:
    """Every term that can be written without a file of one's own, at its every intensity, after
    the one that changes nothing. Those that show clips are here without their folder; see
    :func:`with_clips`.
    """
    found = ["none"]
    for name in perturbations.names():
        graded = perturbations.get(name).argument == _GRADED
        found += [f"{name}={level}" for level in INTENSITIES] if graded else [name]
    return tuple(found)


def name_of(setting: str) -> str:
    """The perturbation that one of :func:`settings` is of; empty for ``none``."""
    terms = parse(setting)
    return terms[0].name if terms else ""


@contextmanager
def clip_folder(given: str) -> Iterator[Path]:
    """The folder ``given``; if empty, one that holds scikit-image's photographs meanwhile.

    :raises ConfigError: scikit-image is not installed.
    """
    with tempfile.TemporaryDirectory() if not given else nullcontext(given) as folder:
        if not given:
            for file in photo_files():
                (Path(folder) / file.name).symlink_to(file)
        yield Path(folder)


def can_be_named(folder: str) -> bool:
    """Whether a term can have the folder as its argument."""
    try:
        (term,) = parse(f"video_easy={folder}")
    except (ConfigError, ValueError):
        return False
    return term.argument == folder


def with_clips(text: str, folder: Path) -> str:
    """``text`` with ``folder`` in every term that needs a folder and names none.

    :raises ConfigError: the text cannot be read.
    """
    terms = [
        replace(term, argument=str(folder))
        if perturbations.get(term.name).argument == _FOLDER and not term.argument
        else term
        for term in parse(text)
    ]
    return ",".join(map(str, terms)) or "none"
