"""The folder of a run of ``samg bench masker``, which is also what a resumed run reads.

config.json    what was asked for, on which machine; a run with other settings is refused
frames.npz     the frames and their truth
results.json   a row for each configuration and batch size, written as soon as it is measured
speed.png      the same as curves
"""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from samg_ros.bench.masks import truth_frames
from samg_ros.bench.speed import Configuration, Problem, Row
from samg_ros.bench.speed_options import VARIED, MaskerBench, settings
from samg_ros.errors import ConfigError
from samg_ros.masking.config import MaskerConfig
from samg_ros.offline.atomic import replacing, write_text


@dataclass(frozen=True)
class Frames:
    """``rgb``: uint8 [N, H, W, 3]. ``truth``: bool [N, H, W]. ``seeds``: the episode of each."""

    rgb: np.ndarray
    truth: np.ndarray
    seeds: list[int]


class SpeedFolder:
    """What was measured so far.

    :param folder: made where it is missing; rows that are there already are kept.
    :raises ConfigError: the folder holds something else, or a run with other settings.
    :raises OutputError: the disk refuses it.
    """

    def __init__(self, bench: MaskerBench, masker: MaskerConfig, folder: Path) -> None:
        self._bench = bench
        self._file = folder / "results.json"
        self._about = {**settings(bench, masker), "machine": machine()}
        self.frames_file = folder / "frames.npz"
        self._check(folder)
        self.frames = self._read_frames() if self.frames_file.is_file() else _made(bench)
        if not self.frames_file.is_file():
            write_text(folder / "config.json", json.dumps(self._about, indent=1) + "\n")
            with replacing(self.frames_file) as temporary:
                np.savez_compressed(temporary, **vars(self.frames))
        self.rows: list[Row] = []
        self.problems: list[Problem] = []  # not read back: they are tried again
        if self._file.is_file():
            kept = json.loads(self._file.read_text())["rows"]
            self.rows = [Row.from_json(row) for row in kept]

    def missing(self, config: MaskerConfig) -> list[int]:
        """The batch sizes of a configuration that are still to be measured."""
        wanted = configuration(config)
        done = {row.batch for row in self.rows if row.configuration == wanted}
        return [batch for batch in dict.fromkeys(self._bench.batches) if batch not in done]

    def add(self, rows: list[Row], problems: list[Problem]) -> None:
        """Keep what was measured. :raises OutputError: the disk refuses it."""
        self.rows += rows
        self.problems += problems
        content = {
            **self._about,
            "seeds": self.frames.seeds,
            "rows": [row.to_json() for row in self.rows],
            "problems": [asdict(problem) for problem in self.problems],
        }
        write_text(self._file, json.dumps(content, indent=1) + "\n")

    def _check(self, folder: Path) -> None:
        file = folder / "config.json"
        if not file.is_file():
            if folder.is_dir() and any(folder.iterdir()):
                raise ConfigError(f"{folder} is not empty; name a new folder with --out")
            return
        before = json.loads(file.read_text())
        differing = [key for key in self._about if before.get(key) != self._about[key]]
        if differing:
            raise ConfigError(
                f"{folder} holds a run with other settings ({', '.join(differing)}); name a new "
                "folder with --out, or repeat that run's settings (config.json) to resume it"
            )

    def _read_frames(self) -> Frames:
        with np.load(self.frames_file) as kept:
            return Frames(kept["rgb"], kept["truth"], kept["seeds"].tolist())


def _made(bench: MaskerBench) -> Frames:
    """The frames of a new run."""
    seeds = range(bench.seed, bench.seed + bench.episodes)
    made = truth_frames(bench.task, bench.perturb, bench.size, seeds, bench.frames)
    return Frames(
        rgb=np.stack([frame.rgb for frame in made]),
        truth=np.stack([frame.truth for frame in made]),
        seeds=[frame.seed for frame in made],
    )


def configuration(config: MaskerConfig) -> Configuration:
    """What is varied of the masker's options."""
    varied = {name: getattr(config, name) for name in VARIED.values()}
    return Configuration(features=config.features, **varied)


def machine() -> dict[str, Any]:
    """What figures must have in common to stand in one table."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": str(torch.__version__),
    }
