"""``training.pt`` in a run's folder: what a training that goes on has to know."""

from __future__ import annotations

import pickle
from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar, get_type_hints

import torch

from samg_ros.errors import CheckpointError, ConfigError
from samg_ros.io.atomic import replacing
from samg_ros.io.checkpoint import build
from samg_ros.io.run_folder import CONFIG, read_config

FILE = "training.pt"
_NoPickle = pickle.UnpicklingError


class StateFile:
    """The state of one kind of training, replaced as a whole.

    :param version: of what is written, by kind of training; another one's is refused.
    """

    def __init__(self, folder: Path, version: str) -> None:
        self.path = folder / FILE
        self._version = version

    def save(self, state: Mapping[str, Any]) -> None:
        """Write it; a process that is killed meanwhile leaves the one before it.

        :param state: tensors, numbers, strings, lists and dictionaries of them.
        :raises OutputError: the disk refuses it.
        """
        # torch.save tells a full disk as such only where it writes to an open file.
        with replacing(self.path) as temporary, temporary.open("wb") as file:
            torch.save({"version": self._version, **state}, file)

    def load(self, task: str | None) -> dict[str, Any]:
        """What was saved last.

        :param task: what its ``task`` must be; None: any.
        :raises CheckpointError: there is none, it is torn, another kind's, release's or task's.
        """
        if not self.path.is_file():
            raise CheckpointError(
                f"{self.path}: no such file; the run ended before its first checkpoint, or has "
                "nothing left to do: start anew"
            )
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
        except (RuntimeError, OSError, EOFError, LookupError, ValueError, _NoPickle) as error:
            raise CheckpointError(f"{self.path}: truncated or no checkpoint ({error})") from error
        if not isinstance(state, dict) or state.get("version") != self._version:
            raise CheckpointError(f"{self.path}: not the state of such a training of this release")
        if task not in (None, state["task"]):
            raise CheckpointError(
                f"{self.path}: trains for task {state['task']!r}, not for {task!r}"
            )
        return state


NOT_TOLD = ("resume", "runs")
"""What no result of a training depends on."""


class Resumable(Protocol):
    """A training's configuration, a dataclass; ``resume`` is the folder of the run to go on with,
    None to begin one."""

    @property
    def resume(self) -> Path | None: ...


C = TypeVar("C", bound=Resumable)


def resumed(cls: type[C], folder: Path, **changed: Any) -> C:
    """The configuration that goes on with the run of ``folder``: what that was told.

    :param changed: fields that are to be different.
    :raises ConfigError: there is no run's folder.
    :raises CheckpointError: it is of another kind of training.
    """
    stored = _built(cls, read_config(folder)["settings"], str(folder / CONFIG))
    return replace(stored, resume=folder, **changed)  # type: ignore[type-var]


def check_resumed(config: Resumable, may_change: Collection[str] = ()) -> None:
    """Whether ``config``, if it resumes a run, is what that run was told.

    :param may_change: names of the options that may be new, with dots before those of a part.
    :raises ConfigError: another option is, or there is no run's folder.
    :raises CheckpointError: the folder is of another kind of training.
    """
    if config.resume is None:
        return
    former = dict(_options(resumed(type(config), config.resume)))
    for name, given in _options(config):
        if given != former[name] and name not in (*NOT_TOLD, *may_change):
            raise ConfigError(
                f"a run is resumed under its own configuration: {name} is {former[name]!r} there, "
                f"not {given!r}; "
                + (f"only {', '.join(may_change)} may be new" if may_change else "leave it out")
            )


def _built(cls: type[Any], stored: dict[str, Any], where: str) -> Any:
    """What ``asdict`` made ``stored`` from. Paths are stored as texts."""
    values = dict(stored)
    for name, hint in get_type_hints(cls).items():
        if is_dataclass(hint) and isinstance(values.get(name), dict):
            values[name] = _built(hint, values[name], f"{where}: {name}")  # type: ignore[arg-type]
        elif "Path" in str(hint) and values.get(name):
            values[name] = Path(values[name])
    return build(cls, values, where)


def _options(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for field in fields(config):
        value = getattr(config, field.name)
        if is_dataclass(value):
            yield from _options(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, value
