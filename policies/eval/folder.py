"""The folder of an evaluation, which is also what a resumed one reads.

config.json     what was asked for, and on which machines it ran; other settings are refused
episodes.jsonl  a line for each episode, on the disk as soon as the episode has ended
results.json    what the episodes amount to; beside it the same as a table and a plot
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from policies.episode import Episode, EpisodeRecord
from samg_ros.errors import ConfigError
from samg_ros.io.atomic import OutputError, lock, write_text
from samg_ros.io.run_folder import package_version
from samg_ros.machine import machine

CONFIG = "config.json"
EPISODES = "episodes.jsonl"


class EvalFolder:
    """A context manager. One process at a time may write to a folder.

    :param settings: what results depend on, as JSON has it.
    :param command: what repeats the run.
    :raises ConfigError: the folder holds something else, a run with other settings, a file that
        cannot be read, or another process is at work there.
    :raises OutputError: the disk refuses it.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], command: str) -> None:
        self.path = folder
        self._file = folder / EPISODES
        self._check(settings)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._open = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise OutputError(f"cannot write {self._file}: {error.strerror}") from error
        try:
            lock(self._open, f"another process is evaluating into {folder}")
            self._drop_torn_line()
            self.records = read_episodes(folder)
            self._note(settings, command)
        except BaseException:
            self.close()
            raise

    def append(self, record: EpisodeRecord) -> None:
        """Keep an episode, whatever happens next. :raises OutputError: the disk refuses it."""
        line = json.dumps(record.to_json()).encode() + b"\n"
        try:
            # One write of a whole line: what dies here leaves it whole, torn at the end, or not.
            whole = os.write(self._open, line) == len(line)
            os.fsync(self._open)
        except OSError as error:
            raise OutputError(f"cannot write {self._file}: {error.strerror}") from error
        if not whole:
            raise OutputError(f"cannot write {self._file}: the disk is full")
        self.records.append(record)

    def missing(self, episodes: Iterable[Episode]) -> list[Episode]:
        """Those that are still to be run, in their order."""
        there = {record.episode for record in self.records}
        return [episode for episode in episodes if episode not in there]

    def close(self) -> None:
        """Let others write here."""
        os.close(self._open)

    def __enter__(self) -> EvalFolder:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _check(self, settings: dict[str, Any]) -> None:
        if not (self.path / CONFIG).is_file():
            # A run that was killed right at its start leaves an empty file of episodes.
            begun = self._file.is_file() and not self._file.stat().st_size
            ours = {EPISODES, ".partial"} if begun else set()
            if self.path.is_dir() and {file.name for file in self.path.iterdir()} - ours:
                raise ConfigError(
                    f"{self.path} is not empty and holds no evaluation; name a new folder"
                )
            return
        before = read_config(self.path)["settings"]
        differing = [k for k in {**before, **settings} if before.get(k) != settings.get(k)]
        if differing:
            raise ConfigError(
                f"{self.path} holds a run with other settings ({', '.join(differing)}); name a "
                f"new folder with --out, or repeat that run's settings ({CONFIG}) to resume it"
            )

    def _drop_torn_line(self) -> None:
        """What a process that was killed while it wrote left at the end."""
        content = self._file.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(self._file, whole)

    def _note(self, settings: dict[str, Any], command: str) -> None:
        here = machine()
        known = read_config(self.path) if (self.path / CONFIG).is_file() else {"machines": []}
        machines = known["machines"] + [here] * (here not in known["machines"])
        about = {"command": command, "version": package_version()}
        content = {**about, "settings": settings, "machines": machines}
        write_text(self.path / CONFIG, json.dumps(content, indent=1) + "\n")


def read_config(folder: Path) -> dict[str, Any]:
    """What an evaluation was: ``command``, ``version``, ``settings`` and ``machines``.

    :raises ConfigError: there is none, or it cannot be read.
    """
    file = folder / CONFIG
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file}: not the folder of an evaluation ({error})") from error
    if not isinstance(content, dict) or not content.keys() >= {"command", "settings", "machines"}:
        raise ConfigError(f"{file}: not the settings of an evaluation; name another folder")
    return content


def read_episodes(folder: Path) -> list[EpisodeRecord]:
    """The finished episodes; none where the first has not ended.

    :raises ConfigError: a line that is no episode; the message tells which.
    """
    file = folder / EPISODES
    records: dict[Episode, EpisodeRecord] = {}
    content = file.read_bytes() if file.is_file() else b""
    lines = content.split(b"\n")[:-1]  # the last is empty, or torn
    for number, line in enumerate(lines, 1):
        try:
            record = EpisodeRecord.from_json(json.loads(line))
        except (ConfigError, ValueError) as error:
            raise ConfigError(
                f"{file}, line {number}: {error}; delete the line to have its episode run again"
            ) from error
        records.setdefault(record.episode, record)
    return list(records.values())
