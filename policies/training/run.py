"""A training in its folder: begun, or resumed where it was interrupted.

training.pt   what a resumed run has to know, replaced as a whole
state/        what of it is large, in files that ``training.pt`` names
"""

from __future__ import annotations

import pickle
import time
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, get_type_hints
from zipfile import BadZipFile

import numpy as np
import torch

from policies.training.curves import plot_curves
from samg_ros.errors import CheckpointError, ConfigError
from samg_ros.io.atomic import replacing
from samg_ros.io.checkpoint import TrainingRecord, build
from samg_ros.io.run_folder import CONFIG, RunFolder, command_line, package_version, read_config

if TYPE_CHECKING:
    from policies.rollout import EpisodeResults

FILE = "training.pt"
NOT_TOLD = ("resume", "runs")
"""What no result of a training depends on."""
UNREADABLE = (
    *(OSError, EOFError, LookupError, TypeError, ValueError, RuntimeError, AttributeError),
    *(AssertionError, BadZipFile, zlib.error, pickle.UnpicklingError),
)
"""What libraries raise over a file that is torn or something else."""

Writer = Callable[[Path], Any]


class Resumable(Protocol):
    """A training's configuration, a dataclass with ``seed``; ``resume`` is the folder of the run
    to resume, None to begin one in a new folder in ``runs``."""

    @property
    def seed(self) -> int: ...
    @property
    def resume(self) -> Path | None: ...
    @property
    def runs(self) -> Path: ...


C = TypeVar("C", bound=Resumable)


@dataclass(frozen=True)
class Kind:
    """Of training. ``name``: as ``samg train`` calls it; ``version``: of the state that it
    writes, another one's is refused; ``may_change``: options that a resumed run may be given anew,
    with dots before those of a part."""

    name: str
    version: int
    may_change: tuple[str, ...] = ()


class TrainingRun:
    """One training. Its folder is made, or locked, where its ``with`` block begins.

    :param name: a new folder is called after it.
    :raises ConfigError: the run to resume had another option, or there is none.
    :raises CheckpointError: it cannot be resumed; the message says why.
    """

    def __init__(self, kind: Kind, task: str, config: Resumable, name: str) -> None:
        check_resumed(config, kind.may_change)
        self.task, self.config = task, config
        self.state: dict[str, Any] | None = None
        """What :meth:`save` was given last; None in a new run."""
        self._kind, self._name = kind, name
        self.files: list[str] = []
        """Names of the files that go with it."""
        self._before_s, self._begun = 0.0, time.monotonic()
        if config.resume:
            stored = load_state(config.resume, kind, task)
            self.state, self.files = stored["state"], stored["files"]
            self._before_s = stored["duration_s"]

    def __enter__(self) -> TrainingRun:
        if self.config.resume:
            self._folder = RunFolder.existing(self.config.resume)
        else:
            self._folder = RunFolder.new(
                self.config.runs, self._name, self.config, self._command()
            )
        self._begun = time.monotonic()
        return self

    def __exit__(self, *exception: object) -> None:
        self._folder.close()

    @property
    def path(self) -> Path:
        """The folder."""
        return self._folder.path

    @property
    def duration_s(self) -> float:
        """What it took so far, with what earlier processes took."""
        return self._before_s + time.monotonic() - self._begun

    def save(
        self,
        state: Mapping[str, Any],
        write: Mapping[str, Writer] | None = None,
        keep: Iterable[str] = (),
    ) -> None:
        """Keep a state to resume from; a process that is killed meanwhile leaves the one before.

        :param state: tensors, numbers, strings, lists and dictionaries of them.
        :param write: what writes its new files, by name. A name is never used twice.
        :param keep: names of earlier files that it needs too; the others are removed.
        :raises OutputError: the disk refuses it.
        """
        folder = self.path / "state"
        folder.mkdir(exist_ok=True)
        for name, writer in (write or {}).items():
            with replacing(folder / name) as temporary:
                writer(temporary)
        self.files = [*keep, *(write or ())]
        content = {"version": self._version, "task": self.task, "files": self.files}
        # torch.save reports a full disk as such only where it writes to an open file.
        with replacing(self.path / FILE) as temporary, temporary.open("wb") as file:
            torch.save({**content, "duration_s": self.duration_s, "state": state}, file)
        for path in folder.iterdir():
            if path.name not in self.files:
                path.unlink()

    def read(self, name: str, reader: Callable[[Path], Any]) -> Any:
        """What ``reader`` makes of a file of the state.

        :raises CheckpointError: it is missing or torn.
        """
        return read_file(self.path / "state" / name, reader)

    def forget(self) -> None:
        """The run is at its end: nothing is resumed from here."""
        (self.path / FILE).unlink(missing_ok=True)
        for path in (self.path / "state").glob("*"):
            path.unlink()
        (self.path / "state").rmdir()

    def record(self, scores: Mapping[str, float]) -> TrainingRecord:
        """What its checkpoint says of it."""
        return TrainingRecord(
            command=self._command(),
            seed=self.config.seed,
            duration_s=round(self.duration_s, 1),
            scores=scores,
            version=package_version(),
        )

    def results(self) -> dict[str, Any]:
        """What :meth:`finish` wrote; empty where the run was not at its end yet."""
        return self._folder.results()

    def finish(
        self,
        record: TrainingRecord,
        results: Mapping[str, Any],
        curves: Mapping[str, Sequence[float]],
        *,
        xlabel: str,
        at: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        """Write the results, and draw ``curve.png``: see :func:`plot_curves`."""
        self._folder.write_results({"record": asdict(record), **results})
        plot_curves(self.path / "curve.png", self._name, curves, xlabel=xlabel, at=at)

    def note_config(self) -> None:
        """A resumed run was given a new option, and keeps it."""
        self._folder.write_settings(self.config, self._command())

    @property
    def _version(self) -> str:
        return _version(self._kind)

    def _command(self) -> str:
        return command_line(f"samg train {self._kind.name} {self.task}", self.config, NOT_TOLD)


def load_state(folder: Path, kind: Kind, task: str | None = None) -> dict[str, Any]:
    """``state``, ``files`` and ``duration_s`` as the run of ``folder`` kept them last.

    :param task: what it must train for; None: anything.
    :raises CheckpointError: there is none, it is torn, another kind's, release's or task's.
    """
    path = folder / FILE
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no such file; the run ended before its first checkpoint, or has "
            "nothing left to do: start anew"
        )
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise CheckpointError(f"{path}: truncated or no checkpoint ({error})") from error
    if not isinstance(stored, dict) or stored.get("version") != _version(kind):
        raise CheckpointError(f"{path}: not the state of such a training of this release")
    if task not in (None, stored["task"]):
        raise CheckpointError(f"{path}: trains for task {stored['task']!r}, not for {task!r}")
    return stored


def read_file(path: Path, reader: Callable[[Path], Any]) -> Any:
    """:raises CheckpointError: a file of a state is missing or torn."""
    try:
        return reader(path)
    except UNREADABLE as error:
        raise CheckpointError(f"{path}: missing or torn ({error}); start anew") from error


def arrays_writer(arrays: Mapping[str, np.ndarray]) -> Writer:
    """Writes them into a file called ``.npz``, which :func:`read_arrays` reads."""
    return lambda path: np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """What :func:`arrays_writer` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def resumed(cls: type[C], folder: Path, **changed: Any) -> C:
    """The configuration that resumes the run of ``folder``: its own.

    :param changed: fields that are to be different.
    :raises ConfigError: there is no run's folder.
    :raises CheckpointError: it is of another kind of training.
    """
    stored = _built(cls, read_config(folder)["settings"], str(folder / CONFIG))
    return replace(stored, resume=folder, **changed)  # type: ignore[type-var]


def check_resumed(config: Resumable, may_change: Collection[str] = ()) -> None:
    """Whether ``config``, if it resumes a run, is that run's own.

    :param may_change: see :class:`Kind`.
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


def scores_of(results: Mapping[str, EpisodeResults]) -> dict[str, float]:
    """The scores of a record: success rates by what was evaluated, or mean returns under names
    that end in ``_return`` where a task does not report success; and the number of episodes of
    each. Empty where nothing was evaluated."""
    found: dict[str, float] = {}
    for name, result in results.items():
        if not result.episodes:
            continue
        if result.tells_success:
            found[name] = result.success_rate
        else:
            found[f"{name}_return"] = round(result.mean_return, 1)
        found["episodes"] = float(len(result.episodes))
    return found


def _version(kind: Kind) -> str:
    return f"{kind.name} {kind.version}"


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
