"""The folder of an evaluation: a run's, which is resumed where it stopped, with its episodes.

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
from samg_ros.io.atomic import OutputError
from samg_ros.io.run_folder import RunFolder

EPISODES = "episodes.jsonl"


class EvalFolder:
    """A context manager. One process at a time may write to a folder.

    :param out: the folder; empty makes a new one. :param settings: what results depend on.
    :param command: what repeats the run.
    :raises ConfigError: the folder holds something else, a run with other settings, a file that
        cannot be read, or another process is at work there.
    :raises OutputError: the disk refuses it.
    """

    def __init__(self, out: str, settings: dict[str, Any], command: str) -> None:
        self._run = RunFolder.begin("eval", settings, command, out=out, resume=True)
        self.path = self._run.path
        self._file = self.path / EPISODES
        try:
            self.records = read_episodes(self.path)
            self._open = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            self._drop_torn_line()
        except OSError as error:
            self._run.close()
            raise OutputError(f"cannot write {self._file}: {error.strerror}") from error
        except BaseException:
            self._run.close()
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

    def write_results(self, results: dict[str, Any]) -> None:
        """Write ``results.json``. :raises OutputError: the disk refuses it."""
        self._run.write_results(results)

    def missing(self, episodes: Iterable[Episode]) -> list[Episode]:
        """Those that are still to be run, in their order."""
        there = {record.episode for record in self.records}
        return [episode for episode in episodes if episode not in there]

    def close(self) -> None:
        """Let others write here."""
        os.close(self._open)
        self._run.close()

    def __enter__(self) -> EvalFolder:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _drop_torn_line(self) -> None:
        """What a process that was killed while it wrote left at the end."""
        content = self._file.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(self._file, whole)


def read_episodes(folder: Path) -> list[EpisodeRecord]:
    """The finished episodes; none where the first has not ended.

    :raises ConfigError: a line that is no episode; the message says which.
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
