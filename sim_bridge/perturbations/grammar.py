"""Visual changes of a task, by one grammar for command line, YAML and launch arguments.

A text is ``none``, or terms with commas between them, each ``name[=argument][@seed]``::

    video_hard=/data/clips,camera_pose=medium,object_texture=hard@7

- The terms are applied from left to right; a name may be given once, and of those that put a
  picture behind the targets (photos, noise, video_easy, video_hard) one, and of those that give
  everything other colours (color_easy, color_hard) one.
- What a term draws (a clip, a texture, colours) is drawn anew at every reset, from the episode's
  seed. A term with ``@seed`` draws from that seed instead: every episode shows the same.
- Colours, lights and cameras of an intensity are fixed, so a seed makes no difference to them.
- A path may hold neither a comma nor an end like ``@7``.

:func:`describe` says what there is, and :func:`supported` what a task has the parts for.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from samg_ros.errors import ConfigError, quoted
from samg_ros.registry import Registry
from sim_bridge.perturbations.backgrounds import Background
from sim_bridge.render.parts import TaskParts, parts_of

if TYPE_CHECKING:
    from sim_bridge.render.stage import Edit, Stage


INTENSITIES = ("easy", "medium", "hard")

_TERM = re.compile(r"(?P<name>\w+)(=(?P<argument>.+?))?(@(?P<seed>[0-9]{1,10}))?", re.ASCII)
LONGEST_TEXT = 4096
_GREATEST_SEED = 2**32 - 1
_NO_PARTS = TaskParts()


class SceneChange(Protocol):
    """Changes what is drawn: camera, lights, surfaces."""

    def draw(self, rng: np.random.Generator) -> None:
        """Choose what the episode shows."""
        ...

    def apply(self, stage: Stage) -> None:
        """Change the scene of one picture."""
        ...


@dataclass(frozen=True)
class Backdrop:
    """Puts a moving picture behind what is drawn: behind the targets, or behind the floor too."""

    background: Background
    keeps_floor: bool


@dataclass(frozen=True)
class Kind:
    """An entry of the registry: makes the perturbation out of a term's argument.

    :param make: argument (empty where there is none) and the task's parts.
    :param argument: how the argument is written; empty where none is taken.
    :param shows: what it does, for people.
    :param fits: whether a task has what it changes. :param needs: what that is.
    :param alone: what it does that no other term of a text may do too.
    """

    make: Callable[[str, TaskParts], SceneChange | Backdrop]
    argument: str
    shows: str
    fits: Callable[[TaskParts], bool] = lambda parts: True
    needs: str = ""
    alone: str = ""

    def __call__(self, argument: str, parts: TaskParts) -> SceneChange | Backdrop:
        return self.make(argument, parts)


perturbations: Registry[Kind] = Registry(
    "perturbation",
    (
        "sim_bridge.perturbations.camera",
        "sim_bridge.perturbations.color_tables",
        "sim_bridge.perturbations.light",
        "sim_bridge.perturbations.material",
        "sim_bridge.perturbations.video",
    ),
)
"""What changes how a task looks, by name."""


@dataclass(frozen=True)
class Term:
    """One change. ``seed``: what it draws from in every episode; None takes the episode's."""

    name: str
    argument: str = ""
    seed: int | None = None

    def __str__(self) -> str:
        argument = f"={self.argument}" if self.argument else ""
        return self.name + argument + (f"@{self.seed}" if self.seed is not None else "")


class Perturbation:
    """The changes of one text; what they show depends on the text and the episode's seed.

    :param parts: of the task that is to be changed.
    :raises ConfigError: a term or a combination that cannot be used.
    :raises ImageError: a file that cannot be read.
    """

    def __init__(self, terms: tuple[Term, ...] = (), parts: TaskParts = _NO_PARTS) -> None:
        self.terms = terms
        self._made = [perturbations.get(term.name)(term.argument, parts) for term in terms]
        _check_alone(terms)
        behind = [made for made in self._made if isinstance(made, Backdrop)]
        self.backdrop: Backdrop | None = behind[0] if behind else None
        self.look: tuple[Edit, ...] = tuple(
            made for made in self._made if not isinstance(made, Backdrop)
        )

    def __str__(self) -> str:
        return ",".join(map(str, self.terms)) or "none"

    def reset(self, seed: int) -> None:
        """Choose what the episode of ``seed`` shows.

        :raises ImageError: a file that was there at the start cannot be read any more.
        """
        for term, made in zip(self.terms, self._made, strict=True):
            own = seed if term.seed is None else term.seed
            if isinstance(made, Backdrop):
                made.background.reset(own)
            else:
                # By name too: the textures of table and ground shall not go hand in hand.
                made.draw(np.random.default_rng([own, zlib.crc32(term.name.encode())]))


def make_perturbation(text: str, task: str) -> Perturbation:
    """What ``text`` says, for the task called ``task``.

    :raises ConfigError: the text cannot be read, a name is unknown, a folder is missing, or the
        task has no such part; the message lists what it supports.
    :raises ImageError: a picture or video that cannot be read.
    """
    terms = parse(text)
    _check_task(terms, task)
    return Perturbation(terms, parts_of(task))


def parse(text: str) -> tuple[Term, ...]:
    """The terms of a text; none where it is empty or ``none``.

    :raises ConfigError: it cannot be read, or names something unknown or twice.
    """
    if len(text) > LONGEST_TEXT:
        raise ConfigError(f"a perturbation has at most {LONGEST_TEXT} characters: {quoted(text)}")
    pieces = [piece.strip() for piece in text.split(",")]
    if pieces in ([""], ["none"]):
        return ()
    terms = tuple(_parse_term(piece) for piece in pieces)
    names = [term.name for term in terms]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ConfigError(f"perturbation {twice[0]!r} is given twice in {quoted(text)}")
    return terms


def _check_alone(terms: tuple[Term, ...]) -> None:
    """:raises ConfigError: two terms do what only one may do."""
    given: dict[str, Term] = {}
    for term in terms:
        alone = perturbations.get(term.name).alone
        if alone and given.setdefault(alone, term) is not term:
            raise ConfigError(f"{given[alone]} and {term} both {alone}: choose one")


def supported(task: str) -> tuple[str, ...]:
    """Names of the perturbations for which the task called ``task`` has the parts, sorted."""
    parts = parts_of(task)
    return tuple(n for n in perturbations.names() if perturbations.get(n).fits(parts))


def describe() -> dict[str, str]:
    """How each term is written -> what it does."""
    entries = {name: perturbations.get(name) for name in perturbations.names()}
    return {name + kind.argument: kind.shows for name, kind in entries.items()}


def intensity(name: str, argument: str) -> str:
    """:return: ``argument``. :raises ConfigError: it is not an intensity."""
    if argument not in INTENSITIES:
        given = f"{argument!r}" if argument else "none"
        raise ConfigError(
            f"perturbation {name!r} needs an intensity, got {given}: write {name}=medium "
            f"({', '.join(INTENSITIES)})"
        )
    return argument


def _parse_term(piece: str) -> Term:
    match = _TERM.fullmatch(piece)
    if not match or piece == "none":
        raise ConfigError(
            f"cannot read {quoted(piece)} as a perturbation: terms are name[=argument][@seed] "
            "with commas between them, 'none' stands alone, and a folder of clips is written "
            "video_hard=FOLDER"
        )
    kind = perturbations.get(match["name"])
    if match["argument"] and not kind.argument:
        raise ConfigError(f"perturbation {match['name']!r} takes no argument, got {piece!r}")
    seed = None if match["seed"] is None else int(match["seed"])
    if seed is not None and seed > _GREATEST_SEED:
        raise ConfigError(f"the seed of a perturbation is at most {_GREATEST_SEED}: {piece!r}")
    return Term(match["name"], match["argument"] or "", seed)


def _check_task(terms: tuple[Term, ...], task: str) -> None:
    for term in terms:
        kind = perturbations.get(term.name)
        if not kind.fits(parts_of(task)):
            raise ConfigError(
                f"perturbation {term.name!r} does not suit task {task!r}: it needs {kind.needs}. "
                f"The task supports: {', '.join(supported(task))}"
            )
