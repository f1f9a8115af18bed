"""DrQ-v2's loop: several environments act at once, and the agent learns while they are at it.

Whatever happens next depends on the state kept here alone, so a run that goes on from it does
what the uninterrupted one would have done: on a CPU, bit for bit.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from policies.drqv2.agent import METRICS, DrQV2Agent
from policies.drqv2.config import DrQV2Config
from policies.drqv2.replay import Replay, Rows
from policies.pictures import BatchPictures
from policies.training import training_seed
from policies.training.state_file import StateFile
from samg_ros.errors import CheckpointError, ConfigError
from samg_ros.io.atomic import replacing
from sim_bridge.scenes.vector import CopyState, VectorScenes


@dataclass(frozen=True)
class EpisodeEnd:
    """A training episode that is over; ``success`` is None for tasks that only have a return."""

    episode_return: float
    success: bool | None


@dataclass
class Progress:
    """How far a training is. ``steps`` are control steps of all environments together; the lists
    have one entry an environment, of its running episode or the one that has just ended."""

    steps: int = 0
    updates: int = 0
    episodes: int = 0
    seeds: list[int] = field(default_factory=list)
    returns: list[float] = field(default_factory=list)
    over: list[bool] = field(default_factory=list)


class DrQV2Training:
    """Agent, replay and environments.

    :param scenes: as many as ``config.environments``; they belong to the caller.
    :param pictures: makes the agent's pictures out of theirs.
    :raises ConfigError: the replay is too small, for an episode or for the device.
    """

    def __init__(
        self,
        scenes: VectorScenes,
        pictures: BatchPictures,
        config: DrQV2Config,
        device: torch.device,
    ) -> None:
        spec, count = scenes.spec, len(scenes)
        self._scenes, self._pictures, self._config = scenes, pictures, config
        self._repeat = spec.action_repeat
        self._seed_steps = config.seed_frames // self._repeat
        self.agent = DrQV2Agent(config, spec.action_size, device)
        self.replay = Replay(
            capacity=_capacity(config, spec.episode_steps, self._repeat, count),
            environments=count,
            image_size=config.image_size,
            action_size=spec.action_size,
            frame_stack=config.frame_stack,
            n_step=config.n_step,
            discount=config.discount,
            device=device,
        )
        self.progress = Progress(seeds=[0] * count, returns=[0.0] * count, over=[True] * count)
        self._rng = np.random.default_rng(config.seed)
        self._sums = torch.zeros(len(METRICS), device=device)
        self._summed = 0

    @property
    def frames(self) -> int:
        """Simulator steps so far, of all environments together."""
        return self.progress.steps * self._repeat

    @property
    def finished(self) -> bool:
        """Whether ``config.frames`` are done."""
        return self.frames >= self._config.frames

    def advance(self) -> list[EpisodeEnd]:
        """One control step of every environment, or a reset where its episode is over.

        :return: the episodes that this step ended.
        """
        begins = list(self.progress.over)
        seeds = [self._next_seed() if begin else None for begin in begins]
        actions = self._actions(begins)
        steps = [
            None if begin else a for begin, a in zip(begins, actions.cpu().numpy(), strict=True)
        ]
        self._scenes.start(actions=steps, seeds=seeds)
        self._learn()
        states = [state for state in self._scenes.finish() if state is not None]
        self.replay.add(
            self._pictures(self._scenes.pictures),
            actions,
            np.array([state.result.reward for state in states]),
            np.array([state.result.step for state in states]),
        )
        return self._tally(states, seeds)

    def rewind(self) -> None:
        """Take the environments back into their running episodes, from wherever they were led."""
        progress = self.progress
        self._scenes.replay(
            [
                None if over else (seed, self.replay.running(index))
                for index, (seed, over) in enumerate(
                    zip(progress.seeds, progress.over, strict=True)
                )
            ]
        )

    def losses(self) -> dict[str, float]:
        """Means of the updates since the last call; empty without any.

        :raises ConfigError: the training has diverged.
        """
        if not self._summed:
            return {}
        means = dict(zip(METRICS, (self._sums / self._summed).tolist(), strict=True))
        self._sums.zero_()
        self._summed = 0
        if not all(math.isfinite(value) for value in means.values()):
            raise ConfigError(
                f"the training has diverged at frame {self.frames} ({means}): try a lower "
                "learning_rate or another seed"
            )
        return means

    def state_dict(self) -> dict[str, Any]:
        """All but the replay's rows."""
        return {
            "progress": asdict(self.progress),
            "agent": self.agent.state_dict(),
            "rng": self._rng.bit_generator.state,
            "sums": self._sums,
            "summed": self._summed,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave; fill :attr:`replay`, then :meth:`rewind`."""
        self.progress = Progress(**state["progress"])
        self.agent.load_state_dict(state["agent"])
        self._rng.bit_generator.state = state["rng"]
        self._sums.copy_(state["sums"])
        self._summed = state["summed"]

    def _next_seed(self) -> int:
        self.progress.episodes += 1
        return training_seed(self._config.seed, self.progress.episodes - 1)

    def _actions(self, begins: list[bool]) -> Tensor:
        """float32 [N, A]; zeros where an episode begins: no action leads to its first frame."""
        if self.progress.steps < self._seed_steps or all(begins):
            actions = self.agent.random_actions(len(begins))
        else:
            stddev = self._config.stddev(self.progress.steps)
            actions = self.agent.explore(self.replay.latest(), stddev)
        return actions.masked_fill(torch.tensor(begins, device=actions.device)[:, None], 0.0)

    def _learn(self) -> None:
        """The updates that the steps so far entitle to."""
        progress, config = self.progress, self._config
        entitled = max(0, progress.steps - self._seed_steps) // config.update_every
        while progress.updates < entitled and self.replay.ready:
            batch = self.replay.sample(config.batch_size, self._rng)
            self._sums += self.agent.update(batch, config.stddev(progress.steps))
            self._summed += 1
            progress.updates += 1

    def _tally(self, states: list[CopyState], seeds: list[int | None]) -> list[EpisodeEnd]:
        progress, ends = self.progress, []
        for index, (state, seed) in enumerate(zip(states, seeds, strict=True)):
            result = state.result
            progress.over[index] = result.done
            if seed is not None:
                progress.seeds[index], progress.returns[index] = seed, 0.0
                continue
            progress.steps += 1
            progress.returns[index] += result.reward
            if result.done:
                ends.append(EpisodeEnd(progress.returns[index], result.success))
        return ends


def _capacity(config: DrQV2Config, episode_steps: int, repeat: int, environments: int) -> int:
    """Frames that the replay holds: as many as asked for, or as the run can fill."""
    if episode_steps <= config.n_step:
        raise ConfigError(
            f"an episode has {episode_steps} control steps: n_step must be less, "
            f"it is {config.n_step}"
        )
    least = (episode_steps + config.n_step + config.frame_stack) * environments
    if config.replay_capacity < least:
        raise ConfigError(
            f"replay_capacity must be at least {least}: an episode of each of the "
            f"{environments} environments; it is {config.replay_capacity}"
        )
    steps = math.ceil(config.frames / repeat / environments)
    rows = steps + math.ceil(steps / episode_steps) + 1  # each episode has one frame more
    return max(least, min(config.replay_capacity, rows * environments))


_VERSION = "drqv2 2"
_FRAMES_A_FILE = 4096  # 87 MB of 84 px frames before compression


class TrainingStore:
    """``training.pt`` and ``replay/`` in a run's folder."""

    def __init__(self, folder: Path) -> None:
        self._state = StateFile(folder, _VERSION)
        self._replay = folder / "replay"
        self._files: list[tuple[int, int]] = []  # first row, and the row after the last

    def save(self, state: Mapping[str, Any], replay: Replay) -> None:
        """Write a checkpoint; a process that is killed meanwhile leaves the one before it.

        :param state: tensors, numbers, strings, lists and dictionaries of them.
        :raises OutputError: the disk refuses it.
        """
        kept = [files for files in self._files if files[1] > replay.oldest]
        start = max(kept[-1][1] if kept else 0, replay.oldest)
        kept += self._write_rows(replay, start)
        self._state.save({**state, "files": kept})
        self._files = kept
        needed = {self._rows_path(first) for first, _ in kept}
        for path in self._replay.glob("*.npz"):
            if path not in needed:
                path.unlink()

    def load(self, task: str | None = None) -> dict[str, Any]:
        """The last checkpoint's state. :raises CheckpointError: see :meth:`StateFile.load`."""
        state = self._state.load(task)
        self._files = [(int(first), int(end)) for first, end in state["files"]]
        return state

    def load_replay(self, replay: Replay) -> None:
        """Fill ``replay`` with the rows of the checkpoint that :meth:`load` read.

        :raises CheckpointError: a file of rows is missing or torn.
        """
        for first, _ in self._files:
            path = self._rows_path(first)
            try:
                with np.load(path, allow_pickle=False) as arrays:
                    replay.restore(first, Rows(**arrays))
            except (OSError, ValueError, TypeError, EOFError, BadZipFile, zlib.error) as error:
                raise CheckpointError(f"{path}: missing or torn ({error})") from error

    def _write_rows(self, replay: Replay, start: int) -> list[tuple[int, int]]:
        files = []
        size = max(1, _FRAMES_A_FILE // replay.environments)
        for first in range(start, replay.ticks, size):
            end = min(first + size, replay.ticks)
            path = self._rows_path(first)
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary:
                np.savez_compressed(temporary, **asdict(replay.rows(first, end)))
            files.append((first, end))
        return files

    def _rows_path(self, first: int) -> Path:
        return self._replay / f"{first:012d}.npz"
