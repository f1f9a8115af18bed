"""The state of a teacher that learns from rewards, on disk, replaced atomically."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from policies.training.state_file import StateFile
from samg_ros.errors import CheckpointError
from sim_bridge.experts.state import Normalizer

if TYPE_CHECKING:
    from policies.teacher.fast_sac import FastSAC


_VERSION = "teacher 4"
_ROWS = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


@dataclass
class SacProgress:
    """``returns``: mean validation return of every round; ``weights``: the best round's network;
    ``duration_s``: what earlier runs took that this one goes on with."""

    returns: list[float] = field(default_factory=list)
    weights: dict[str, Tensor] = field(default_factory=dict)
    duration_s: float = 0.0

    @property
    def best(self) -> float:
        """Best mean return; minus infinity before the first round."""
        return max(self.returns, default=-np.inf)

    def add(self, score: float, weights: Mapping[str, Tensor]) -> None:
        """A round is done. :param weights: of its network; kept where none was better."""
        if score >= self.best:
            self.weights = dict(weights)
        self.returns.append(score)


@dataclass(frozen=True)
class StoredSac:
    """What :meth:`SacStore.load` read."""

    progress: SacProgress
    normalizer: Normalizer
    state: dict[str, Any]
    path: Path

    def restore_networks(self, model: FastSAC) -> None:
        """Put networks, optimisers and temperature into ``model``, in place.

        :raises CheckpointError: they do not fit it.
        """
        try:
            model.set_parameters(self.state["parameters"], exact_match=True, device="cpu")
            for name, average in model.average.items():
                average.copy_(self.state["average"][name])
            with torch.no_grad():
                model.log_ent_coef.copy_(self.state["log_ent_coef"])  # type: ignore[union-attr]
        except (KeyError, ValueError, RuntimeError) as error:
            raise CheckpointError(f"{self.path}: of another task or network ({error})") from error

    def restore(self, model: FastSAC) -> None:
        """Put all that the next step depends on into ``model``, in place.

        :raises CheckpointError: it does not fit it.
        """
        self.restore_networks(model)
        try:
            for name, value in self.state["counters"].items():
                setattr(model, name, value)
            buffer: Any = model.replay_buffer
            rows = self.state["rows"]
            count = len(rows["rewards"])
            for name in _ROWS:
                getattr(buffer, name)[:count] = rows[name].numpy()
        except (KeyError, ValueError, RuntimeError) as error:
            raise CheckpointError(f"{self.path}: of another task or network ({error})") from error
        buffer.full = count == buffer.buffer_size
        buffer.pos = self.state["position"] if buffer.full else count
        torch.set_rng_state(self.state["torch_random"])
        keys, position, has_gauss, gauss = self.state["numpy_random"]
        # stable-baselines3 draws its batches from NumPy's global generator.
        np.random.set_state(("MT19937", keys.numpy(), position, has_gauss, gauss))
        # ... and its random actions from the action space's.
        model.action_space.np_random.bit_generator.state = self.state["action_random"]


class SacStore:
    """``training.pt`` in a run's folder, of the task called ``task`` (None: of any)."""

    def __init__(self, folder: Path, task: str | None) -> None:
        self._file, self._task = StateFile(folder, _VERSION), task

    def save(self, model: FastSAC, progress: SacProgress, normalizer: Normalizer) -> None:
        """Write the state; a process that is killed meanwhile leaves the one before it.

        :raises OutputError: the disk refuses it.
        """
        buffer: Any = model.replay_buffer
        _, keys, *others = np.random.get_state()
        state = {
            "task": self._task,
            "returns": progress.returns,
            "weights": progress.weights,
            "duration_s": progress.duration_s,
            "parameters": model.get_parameters(),
            "normalizer": asdict(normalizer),
            "average": model.average,
            "log_ent_coef": model.log_ent_coef.detach(),  # type: ignore[union-attr]
            "counters": {name: getattr(model, name) for name in ("num_timesteps", "_n_updates")},
            "rows": {
                name: torch.from_numpy(getattr(buffer, name)[: buffer.size()]) for name in _ROWS
            },
            "position": buffer.pos,
            "torch_random": torch.get_rng_state(),
            "numpy_random": [torch.from_numpy(keys), *others],
            "action_random": model.action_space.np_random.bit_generator.state,
        }
        self._file.save(state)

    def load(self) -> StoredSac:
        """:raises CheckpointError: see :meth:`StateFile.load`."""
        state = self._file.load(self._task)
        progress = SacProgress(state["returns"], state["weights"], state["duration_s"])
        normalizer = Normalizer(**{name: tuple(v) for name, v in state["normalizer"].items()})
        return StoredSac(progress, normalizer, state, self._file.path)
