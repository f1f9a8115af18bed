"""State teachers: the expert that is given as a file, and the one that is trained here."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from samg_ros.errors import CheckpointError, ConfigError
from samg_ros.io.arrays import UnreadableArraysError, read_arrays
from samg_ros.io.checkpoint import (
    Checkpoint,
    TrainingRecord,
    build,
    build_network,
    choose,
    load_checkpoint,
    save_checkpoint,
)
from samg_ros.machine import single_thread
from samg_ros.parameters import parameter, validate
from samg_ros.robot import PolicySpec
from sim_bridge.experts import shipped_teachers
from sim_bridge.task import Expert


def mlp(inputs: int, hidden: int, outputs: int, activation: type[nn.Module]) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        activation(),
        nn.Linear(hidden, hidden),
        activation(),
        nn.Linear(hidden, outputs),
    )


@dataclass(frozen=True)
class StateNetConfig:
    """Sizes of :class:`StateNet`.

    ``squash``: a tanh bounds the actions, as soft actor-critic's; without one the output is
    linear, because experts command beyond the limits and a tanh would have to saturate.
    """

    state: int
    actions: int
    hidden: int = 128
    activation: str = parameter("tanh", "of the hidden layers", choices=("tanh", "relu"))
    squash: bool = False

    def __post_init__(self) -> None:
        validate(self)


class StateNet(nn.Module):
    """A task's full state to an action, for teachers.

    Tanh layers as in the DAPG experts that it imitates (Rajeswaran et al. 2018, arXiv
    1709.10087), or an actor of soft actor-critic.
    """

    def __init__(self, config: StateNetConfig) -> None:
        super().__init__()
        self.config = config
        activation = nn.ReLU if config.activation == "relu" else nn.Tanh
        self.body = mlp(config.state, config.hidden, config.actions, activation)

    def forward(self, states: Tensor) -> Tensor:
        """:param states: float32 [B, state], normalised.

        :return: float32 [B, actions], in [-1, 1] up to the clipping that the caller does.
        """
        actions = self.body(states)
        return torch.tanh(actions) if self.config.squash else actions


@dataclass(frozen=True)
class Normalizer:
    """``(x - mean) / std``, entry by entry; both in the units of ``x``."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std) or any(not value > 0 for value in self.std):
            raise ConfigError("a Normalizer needs as many means as positive standard deviations")

    @classmethod
    def fit(cls, values: np.ndarray, floor: float) -> Normalizer:
        """Mean and standard deviation of ``values``, float [N, D].

        :param floor: least standard deviation, in the units of ``values``: an entry that hardly
            moved in training must not be blown up when it moves a little at run time.
        """
        std = np.maximum(values.std(axis=0), floor)
        return cls(tuple(map(float, values.mean(axis=0))), tuple(map(float, std)))

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """:param values: float [..., D]. :return: float32 [..., D].

        :raises ConfigError: the last axis is not D long.
        """
        if values.shape[-1:] != (len(self.mean),):
            raise ConfigError(
                f"the policy expects {len(self.mean)} values, got an array of shape {values.shape}"
            )
        normal = (values - np.asarray(self.mean)) / np.asarray(self.std)
        return normal.astype(np.float32)


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
            self._arrays = read_arrays(path, self.KEYS)
        except (OSError, UnreadableArraysError) as error:
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
        config = build(StateNetConfig, stored.network, f"{path}: network")
        network = build_network(lambda: StateNet(config), stored, path)
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
    from sim_bridge.experts.arm import SCRIPTED_TASKS

    return task in SCRIPTED_TASKS or task in shipped_teachers()


def shipped_teacher(task: str) -> Teacher:
    """What ships to teach ``task``: a script, or a trained network.

    :raises CheckpointError: nothing does, or its file cannot be used.
    """
    # Scripts need the simulator; a robot, on which policies run, has none.
    from sim_bridge.experts.arm import SCRIPTED_TASKS, ArmExpert

    return ArmExpert(task) if task in SCRIPTED_TASKS else StateTeacher.shipped(task)


def make_expert(task: str, action_size: int, seed: int) -> Expert:
    """The task's shipped teacher, or uniform random actions for a task without one.

    :return: from a step's result to an action, float [A] in [-1, 1].
    """
    if has_teacher(task):
        teacher = shipped_teacher(task)
        return lambda result: teacher.label(result.state)
    rng = np.random.default_rng(seed)
    return lambda result: rng.uniform(-1, 1, action_size)
