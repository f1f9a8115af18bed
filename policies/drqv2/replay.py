"""DrQ-v2's replay: frames of several environments in one ring on the device, n-step samples.

A row holds one moment of every environment: the frame, and the action and the reward that led
there. Frames are kept once, as bytes, and stacked when sampled: a transition takes
``3 * S * S`` bytes (21 kB at 84 px; a million of them 21 GB), a stack would take three times that.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from policies.training.run import Writer, arrays_writer, read_arrays
from samg_ros.errors import ConfigError

_FRAMES_A_FILE = 4096  # 87 MB of 84 px frames before compression


@dataclass(frozen=True)
class ReplayBatch:
    """``images``, ``next_images``: uint8 [B, 3 * frame_stack, S, S], n steps apart; ``actions``:
    float32 [B, A] taken at the first; ``returns``: float32 [B], the discounted sum of the n
    rewards in between; ``discount``: what the value after them counts."""

    images: Tensor
    actions: Tensor
    returns: Tensor
    next_images: Tensor
    discount: float


@dataclass(frozen=True)
class Rows:
    """Consecutive moments of all N environments, on the CPU: ``frames`` uint8 [T, N, 3, S, S],
    ``actions`` float32 [T, N, A], ``rewards`` float32 [T, N], ``ages`` int32 [T, N]."""

    frames: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    ages: np.ndarray


class Replay:
    """The ring. No sample crosses the end of an episode, neither stack nor n steps.

    An episode's end is a time limit here and not a failure, so the value after it counts: the
    last frame is a next state like any other.

    :param capacity: frames in all; a multiple of the environments is used.
    :param image_size: S. :param device: where frames, actions and rewards are kept.
    :raises ConfigError: it does not fit into the device's memory.
    """

    def __init__(
        self,
        *,
        capacity: int,
        environments: int,
        image_size: int,
        action_size: int,
        frame_stack: int,
        n_step: int,
        discount: float,
        device: torch.device,
    ) -> None:
        self._stack, self._n_step, self._device = frame_stack, n_step, device
        self._rows = capacity // environments
        shape = (self._rows, environments)
        frames_shape = (*shape, 3, image_size, image_size)
        self.nbytes = int(np.prod(frames_shape))
        """Bytes that the frames take, once the ring is full."""
        _check_memory(self.nbytes, device)
        self._frames = torch.empty(frames_shape, dtype=torch.uint8, device=device)
        self._actions = torch.zeros(*shape, action_size, device=device)
        self._rewards = torch.zeros(shape, device=device)
        # Steps since the reset, on the host, where samples are drawn: no round trip to the device.
        self._ages = np.zeros(shape, np.int32)
        self._weights = discount ** torch.arange(n_step, device=device)
        self._discount = discount**n_step
        self.ticks = 0
        """Rows added so far, those that were overwritten included."""

    @property
    def environments(self) -> int:
        """N."""
        return self._ages.shape[1]

    @property
    def oldest(self) -> int:
        """The first row that is still there, counted as in :attr:`ticks`."""
        return max(0, self.ticks - self._rows)

    @property
    def ready(self) -> bool:
        """Whether there is anything to sample."""
        return self.ticks > self._n_step

    def add(self, frames: Tensor, actions: Tensor, rewards: np.ndarray, ages: np.ndarray) -> None:
        """One moment of all N environments.

        :param frames: uint8 [N, 3, S, S]. :param actions: float32 [N, A], which led there.
        :param rewards: float [N]. :param ages: int [N], steps since the reset, 0 for its frame.
        """
        row = self.ticks % self._rows
        self._frames[row] = frames
        self._actions[row] = actions
        self._rewards[row] = torch.as_tensor(rewards, dtype=torch.float32)
        self._ages[row] = ages
        self.ticks += 1

    def latest(self) -> Tensor:
        """What the environments show now: uint8 [N, 3 * frame_stack, S, S]."""
        environments = np.arange(self.environments)
        return self._images(np.full(len(environments), self.ticks - 1), environments)

    def sample(self, size: int, rng: np.random.Generator) -> ReplayBatch:
        """``size`` transitions, drawn uniformly; :attr:`ready` must be true."""
        ticks, environments = self._draw(size, rng)
        later = ticks[:, None] + np.arange(1, self._n_step + 1)
        rows, columns = self._on_device(later % self._rows), self._on_device(environments)
        return ReplayBatch(
            images=self._images(ticks, environments),
            actions=self._actions[rows[:, 0], columns],
            returns=self._rewards[rows, columns[:, None]] @ self._weights,
            next_images=self._images(later[:, -1], environments),
            discount=self._discount,
        )

    def unsaved(self, saved: Sequence[str]) -> tuple[list[str], dict[str, Writer]]:
        """What has to be kept on disk: which of the files ``saved`` hold rows that are still
        there, and what writes the rows since, by the names of new files."""
        keep = [name for name in saved if _span(name)[1] > self.oldest]
        start = max([self.oldest, *(_span(name)[1] for name in keep)])
        size = max(1, _FRAMES_A_FILE // self.environments)
        ends = [*range(start + size, self.ticks, size), self.ticks] if start < self.ticks else []
        return keep, {
            f"replay_{first:012d}_{end:012d}.npz": partial(self._write, first, end)
            for first, end in zip([start, *ends], ends, strict=False)
        }

    def restore_file(self, path: Path) -> None:
        """Put back what a file of :meth:`unsaved` holds; its rows become the last ones."""
        self.restore(_span(path.name)[0], Rows(**read_arrays(path)))

    def _write(self, first: int, end: int, path: Path) -> None:
        arrays_writer(asdict(self.rows(first, end)))(path)

    def rows(self, start: int, stop: int) -> Rows:
        """A copy of rows ``start`` to ``stop``, which must be there, counted as :attr:`ticks`."""
        kept = np.arange(start, stop) % self._rows
        on_device = self._on_device(kept)
        return Rows(
            frames=self._frames[on_device].cpu().numpy(),
            actions=self._actions[on_device].cpu().numpy(),
            rewards=self._rewards[on_device].cpu().numpy(),
            ages=self._ages[kept],
        )

    def restore(self, start: int, rows: Rows) -> None:
        """Put back what :meth:`rows` gave for ``start``; they become the last ones."""
        kept = np.arange(start, start + len(rows.ages)) % self._rows
        on_device = self._on_device(kept)
        self._frames[on_device] = torch.from_numpy(rows.frames).to(self._device)
        self._actions[on_device] = torch.from_numpy(rows.actions).to(self._device)
        self._rewards[on_device] = torch.from_numpy(rows.rewards).to(self._device)
        self._ages[kept] = rows.ages
        self.ticks = start + len(rows.ages)

    def _draw(self, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Row and environment of ``size`` transitions; those that cross an end are drawn anew."""
        ticks, environments = np.empty(0, np.int64), np.empty(0, np.int64)
        while len(ticks) < size:
            missing = size - len(ticks)
            tick = rng.integers(self.oldest, self.ticks - self._n_step, size=missing)
            environment = rng.integers(self.environments, size=missing)
            age = self._ages[tick % self._rows, environment]
            then = self._ages[(tick + self._n_step) % self._rows, environment]
            stacked = np.minimum(age, self._stack - 1)
            good = (then == age + self._n_step) & (tick - stacked >= self.oldest)
            ticks = np.concatenate([ticks, tick[good]])
            environments = np.concatenate([environments, environment[good]])
        return ticks, environments

    def _images(self, ticks: np.ndarray, environments: np.ndarray) -> Tensor:
        """Frame stacks that end at ``ticks``, int [B]; a reset's frame is repeated before it."""
        ages = self._ages[ticks % self._rows, environments]
        back = np.minimum(np.arange(self._stack - 1, -1, -1), ages[:, None])
        rows = self._on_device((ticks[:, None] - back) % self._rows)
        return self._frames[rows, self._on_device(environments)[:, None]].flatten(1, 2)

    def _on_device(self, index: np.ndarray) -> Tensor:
        return torch.from_numpy(index).to(self._device, non_blocking=True)


def _span(name: str) -> tuple[int, int]:
    """First row of a file, and the row after its last."""
    _, first, end = Path(name).stem.split("_")
    return int(first), int(end)


def _check_memory(needed: int, device: torch.device) -> None:
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
    else:
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > free:
        raise ConfigError(
            f"the replay's frames take {needed / 1e9:.1f} GB, {device} has {free / 1e9:.1f} GB: "
            "set --replay-capacity or --image-size lower"
        )
