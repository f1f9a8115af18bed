"""The folder of a run: one for every command that leaves figures.

config.json   what repeats the run: ``command``, ``version``, ``settings``, ``machines``
results.json  what it came to

Whatever else a run leaves lies beside them.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields, is_dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path
from typing import Any

from samg_ros.errors import ConfigError
from samg_ros.io.atomic import OutputError, lock, write_text

CONFIG = "config.json"
RESULTS = "results.json"
_KEYS = ("command", "settings", "machines")


class RunFolder:
    """A run's folder, a context manager; its ``path`` is where files go.

    One process at a time works in it. Open it with :meth:`new`, :meth:`begin` or
    :meth:`existing`.

    :raises ConfigError: another process does.
    :raises OutputError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.resumed = False
        """Whether it held a run, which is now resumed."""
        try:
            self._open = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise OutputError(f"cannot write into {path}: {error.strerror}") from error
        try:
            lock(self._open, f"{path}: another process is at work there")
        except BaseException:
            self.close()
            raise

    @classmethod
    def new(cls, root: Path, name: str, settings: Any, command: str = "") -> RunFolder:
        """``root/<name>_<local time>``, which nothing lies in yet.

        :param settings: the run's, a dataclass or a mapping; written at once, so that a run that
            is interrupted still records what it was.
        :param command: what repeats the run.
        :raises OutputError: the disk refuses it.
        """
        stamp = datetime.now().astimezone().strftime("%Y%m%d_%H%M%S")
        try:
            folder = cls(_new_folder(root.expanduser(), f"{name}_{stamp}"))
        except OSError as error:
            raise OutputError(f"cannot write the run's folder: {error}") from error
        return folder._noting(settings, command)

    @classmethod
    def begin(
        cls, name: str, settings: Any, command: str = "", *, out: str = "", resume: bool = False
    ) -> RunFolder:
        """The folder ``out``, or a new one under ``runs`` where that is empty.

        :param name: of what is run; a new folder is called after it.
        :param settings: what its results depend on. :param command: what repeats it.
        :param resume: ``out`` may hold a run with the same settings, which is resumed.
        :raises ConfigError: ``out`` holds something else, or a run with other settings, or
            another process is at work there.
        :raises OutputError: the disk refuses it.
        """
        if not out:
            return cls.new(Path("runs"), name, settings, command)
        path = Path(out).expanduser()
        if resume and (path / CONFIG).is_file():
            folder = cls.existing(path)
            with folder._closing_on_error():
                _check_same(path, _plain(settings), read_config(path)["settings"])
            return folder
        try:
            path.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise ConfigError(f"{path} is no folder; name a new folder with --out") from None
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}") from error
        folder = cls(path)
        with folder._closing_on_error():
            # What a run that was killed while it began leaves is nobody's.
            if {item.name for item in path.iterdir()} - {".partial"}:
                raise ConfigError(f"{path} is not empty; name a new folder with --out")
        return folder._noting(settings, command)

    @classmethod
    def existing(cls, path: Path) -> RunFolder:
        """The folder that an earlier run made, to resume that run, maybe on another machine.

        :raises ConfigError: there is no run's folder at ``path``, or it is in use.
        """
        config = read_config(path)
        folder = cls(path)
        folder.resumed = True
        with folder._closing_on_error():
            if (here := _machine()) not in config["machines"]:
                folder._write(CONFIG, {**config, "machines": [*config["machines"], here]})
        return folder

    def write_settings(self, settings: Any, command: str) -> None:
        """Write the run's settings anew. :raises OutputError: the disk refuses it."""
        told = {"command": command, "settings": _plain(settings)}
        self._write(CONFIG, {**read_config(self.path), **told})

    def write_results(self, results: Mapping[str, Any]) -> None:
        """Write ``results.json``. :raises OutputError: the disk refuses it."""
        self._write(RESULTS, results)

    def results(self) -> dict[str, Any]:
        """What ``results.json`` says; empty where there is none that can be read."""
        try:
            return json.loads((self.path / RESULTS).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}

    def close(self) -> None:
        """Let others work here."""
        os.close(self._open)

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _noting(self, settings: Any, command: str) -> RunFolder:
        about = {"command": command, "version": package_version(), "settings": _plain(settings)}
        with self._closing_on_error():
            self._write(CONFIG, {**about, "machines": [_machine()]})
        return self

    @contextmanager
    def _closing_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        write_text(self.path / name, json.dumps(content, indent=1, default=str) + "\n")


def read_config(folder: Path) -> dict[str, Any]:
    """What the run of ``folder`` was: ``command``, ``version``, ``settings`` and ``machines``.

    :raises ConfigError: there is no run's folder, or it cannot be read.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise ConfigError(f"{folder}: not the folder of a run (it has no {CONFIG})")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    if not isinstance(content, dict) or not content.keys() >= {*_KEYS}:
        raise ConfigError(
            f"{path}: not the settings of a run of this release; name another folder"
        )
    return content


def _check_same(folder: Path, given: dict[str, Any], before: dict[str, Any]) -> None:
    differing = [k for k in {**before, **given} if before.get(k) != given.get(k)]
    if differing:
        raise ConfigError(
            f"{folder} holds a run with other settings ({', '.join(differing)}); name a new "
            f"folder with --out, or repeat that run's settings ({CONFIG}) to resume it"
        )


def _plain(settings: Any) -> dict[str, Any]:
    """As JSON has it: tuples are lists, paths texts."""
    table = asdict(settings) if is_dataclass(settings) else settings  # type: ignore[arg-type]
    return json.loads(json.dumps(table, default=str))


def _machine() -> dict[str, Any]:
    from samg_ros.machine import machine  # here, since it takes torch

    return machine()


def _new_folder(root: Path, name: str) -> Path:
    """``root/name``, or with a number at its end where another run of this second has that."""
    root.mkdir(parents=True, exist_ok=True)
    for number in count(1):
        path = root / (name if number == 1 else f"{name}_{number}")
        with suppress(FileExistsError):
            path.mkdir()
            return path
    raise AssertionError("numbers do not end")


def command_line(
    command: str, config: Any, leave_out: Collection[str] = (), always: Collection[str] = ()
) -> str:
    """The command that repeats a run: ``command`` with what differs from the defaults.

    Of paths only the name is kept: results are shared, their maker's folders mean nothing.

    :param config: a dataclass. :param leave_out: fields that no result depends on.
    :param always: fields that are written also where they are as by default.
    """
    return " ".join([command, *_flags(config, leave_out, always)])


def _flags(
    config: Any, leave_out: Collection[str], always: Collection[str], prefix: str = "--"
) -> Iterator[str]:
    for field in fields(config):
        value, name = getattr(config, field.name), prefix + field.name.replace("_", "-")
        if is_dataclass(value):
            yield from _flags(value, leave_out, always, f"{name}.")
        elif field.name in leave_out or (value == field.default and field.name not in always):
            continue
        elif isinstance(value, bool):
            yield name if value else f"{prefix}no-{name.removeprefix(prefix)}"
        elif isinstance(value, tuple):
            yield " ".join([name, *(shlex.quote(str(each)) for each in value)])
        else:
            text = value.name if isinstance(value, Path) else str(value)
            yield f"{name} {shlex.quote(text)}"


def package_version() -> str:
    """Version of the installed package, or ``source`` where it runs uninstalled."""
    try:
        return version("samg_ros")
    except PackageNotFoundError:
        return "source"
