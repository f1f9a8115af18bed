"""State teachers: the expert that is given as a file, and the one that is trained here."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Protocol
from zipfile import BadZipFile

import numpy as np
import torch

from policies.arm_expert import SCRIPTED_TASKS, ArmExpert
from policies.base import PolicySpec
from policies.checkpoint import (
    Checkpoint,
    TrainingRecord,
    build,
    load_checkpoint,
    load_weights,
    save_checkpoint,
)
from policies.checkpoints import choose, shipped_teachers
from policies.networks import StateNet, StateNetConfig
from policies.preprocessing import Normalizer
from samg_ros.errors import CheckpointError
from samg_ros.threads import single_thread

# The last two: an array alone, .npy, is no context manager.
_UNREADABLE = (OSError, ValueError, KeyError, EOFError, TypeError, AttributeError)


class Teacher(Protocol):
    """Knows what to do from the task's full state."""

    def label(self, state: np.ndarray) -> np.ndarray:
        """:param state: float64 [S], ``StepResult.state``. :return: float32 [A] in [-1, 1]."""
        ...


class ExpertTeacher:
    """A tanh MLP in a ``.npz`` file, as the DAPG authors' policies come (arXiv 1709.10087).

    ``x = (state - in_shift) / (in_scale + 1e-8); x = tanh(w0 x + b0); x = tanh(w1 x + b1);
    action = (w2 x + b2) * out_scale + out_shift``.

    :raises CheckpointError: the file is missing, unreadable or lacks an array.
    """

    KEYS = ("w0", "b0", "w1", "b1", "w2", "b2", "in_shift", "in_scale", "out_shift", "out_scale")

    def __init__(self, path: Path) -> None:
        try:
            with np.load(path) as file:
                self._arrays = {key: file[key] for key in self.KEYS}
        except (*_UNREADABLE, BadZipFile) as error:
            raise CheckpointError(f"{path}: not an expert file ({error})") from error

    def label(self, state: np.ndarray) -> np.ndarray:
        """:param state: float64 [S]. :return: float32 [A] in [-1, 1].

        :raises CheckpointError: the state has another size: an expert for another task.
        """
        a = self._arrays
        if state.shape != a["in_shift"].shape:
            raise CheckpointError(
                f"the expert takes {a['in_shift'].size} state values, the task has {state.size}: "
                "it is an expert for another task"
            )
        x = (state - a["in_shift"]) / (a["in_scale"] + 1e-8)
        x = np.tanh(a["w0"] @ x + a["b0"])
        x = np.tanh(a["w1"] @ x + a["b1"])
        action = (a["w2"] @ x + a["b2"]) * a["out_scale"] + a["out_shift"]
        return np.clip(action, -1, 1).astype(np.float32)


class StateTeacher:
    """A :class:`StateNet` with its normalisation; ``spec`` says for which task."""

    def __init__(self, spec: PolicySpec, state: Normalizer, network: StateNet) -> None:
        self.spec = spec
        self.state = state
        self.network = network.eval()

    @classmethod
    def load(cls, path: Path, task: str | None = None) -> StateTeacher:
        """Read a checkpoint.

        :param task: refuse a checkpoint of any other task; None takes any.
        :raises CheckpointError: the file cannot be used; the message says why.
        """
        stored = load_checkpoint(path, kind="teacher", task=task)
        normalizer = build(Normalizer, stored.preprocessing, f"{path}: preprocessing")
        network = StateNet(build(StateNetConfig, stored.network, f"{path}: network"))
        load_weights(network, stored, path)
        return cls(stored.spec, normalizer, network)

    @classmethod
    def shipped(cls, task: str) -> StateTeacher:
        """The teacher that ships for ``task``.

        :raises CheckpointError: none does.
        """
        return cls.load(choose(shipped_teachers(), task), task)

    def save(self, path: Path, record: TrainingRecord) -> None:
        """Write a checkpoint that :meth:`load` reads."""
        save_checkpoint(
            path,
            Checkpoint(
                kind="teacher",
                network=asdict(self.network.config),
                spec=self.spec,
                preprocessing=asdict(self.state),
                record=record,
                weights=self.network.state_dict(),
            ),
        )

    def label(self, state: np.ndarray) -> np.ndarray:
        """:param state: float64 [S]. :return: float32 [A] in [-1, 1].

        :raises ConfigError: the state has another size.
        """
        with torch.inference_mode(), single_thread():
            action = self.network(torch.from_numpy(self.state(state))[None])[0].numpy()
        return np.clip(action, -1, 1)


def has_teacher(task: str) -> bool:
    """Whether :func:`shipped_teacher` has one for ``task``."""
    return task in SCRIPTED_TASKS or task in shipped_teachers()


def shipped_teacher(task: str) -> Teacher:
    """What ships to teach ``task``: a script, or a trained network.

    :raises CheckpointError: nothing does, or its file cannot be used.
    """
    return ArmExpert(task) if task in SCRIPTED_TASKS else StateTeacher.shipped(task)
