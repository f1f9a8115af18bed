"""The policy that is deployed: masked camera images and joint positions to actions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from policies.base import Observation
from policies.checkpoints import shipped_raw_students, shipped_students
from policies.networks import StudentNet, StudentNetConfig
from policies.preprocessing import FrameStack, StudentPreprocessing
from policies.registry import kinds, policies
from samg_ros.errors import CheckpointError, ConfigError
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
from samg_ros.robot import PolicySpec, as_action
from sim_bridge.experts.state import Normalizer

_LEAST_SCALE = 1e-3  # of an action's unit: a joint that the teacher never moved


@dataclass(frozen=True)
class JointOffsets:
    """Between a task's actions and offsets in [-1, 1] of the actuated joints.

    :param actuated: of each action its joint's index among the policy's joint positions.
    :param low: least commands, :param high: greatest commands, rad or m.
    :param scale: what an offset of 1 is, in action units, by joint.
    """

    actuated: tuple[int, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    scale: tuple[float, ...]

    @classmethod
    def of(cls, spec: PolicySpec, scale: tuple[float, ...]) -> JointOffsets:
        """The offsets of a policy.

        :raises ConfigError: see :meth:`check`; or ``scale`` has another length or is not positive.
        """
        cls.check(spec)
        if len(scale) != len(spec.actuated_joints) or any(not value > 0 for value in scale):
            raise ConfigError(
                f"{spec.task}: offsets need a positive scale for each of "
                f"{len(spec.actuated_joints)} joints"
            )
        actuated = tuple(spec.joint_names.index(name) for name in spec.actuated_joints)
        return cls(actuated, spec.command_low, spec.command_high, scale)

    @staticmethod
    def check(spec: PolicySpec) -> None:
        """:raises ConfigError: the commands are no positions of joints that the policy sees."""
        unseen = [name for name in spec.actuated_joints if name not in spec.joint_names]
        if spec.command_mode != "position" or unseen:
            raise ConfigError(
                f"{spec.task}: offsets from joint positions need position commands for joints "
                f"that the policy sees; its commands are of {spec.command_mode}"
                + (f", unseen are {', '.join(unseen)}" if unseen else "")
            )

    @classmethod
    def fit(cls, spec: PolicySpec, actions: np.ndarray, joints: np.ndarray) -> JointOffsets:
        """Scaled so that the farthest of ``actions``, float [N, A], from ``joints``, [N, J], is 1.

        :raises ConfigError: see :meth:`of`.
        """
        raw = cls.of(spec, (1.0,) * len(spec.actuated_joints))
        farthest = np.abs(actions - raw._present(joints)).max(axis=0)
        return cls.of(spec, tuple(map(float, np.maximum(farthest, _LEAST_SCALE))))

    def offset(self, action: np.ndarray, joints: np.ndarray) -> np.ndarray:
        """:param action: float [..., A] in [-1, 1]. :param joints: float [..., J], rad or m.

        :return: float32 [..., A], clipped to [-1, 1].
        """
        offset = (action - self._present(joints)) / np.asarray(self.scale)
        return np.clip(offset, -1, 1).astype(np.float32)

    def action(self, offset: np.ndarray, joints: np.ndarray) -> np.ndarray:
        """Inverse of :meth:`offset`: float32 [..., A], clipped to [-1, 1]."""
        action = self._present(joints) + offset * np.asarray(self.scale)
        return np.clip(action, -1, 1).astype(np.float32)

    def _present(self, joints: np.ndarray) -> np.ndarray:
        """The action whose command is where the joints are; beyond [-1, 1] past their limits."""
        return as_action(joints[..., list(self.actuated)], self.low, self.high)


class StudentPolicy:
    """A :class:`policies.base.Policy` around a :class:`StudentNet`."""

    def __init__(
        self, spec: PolicySpec, preprocessing: StudentPreprocessing, network: StudentNet
    ) -> None:
        self.spec = spec
        self.preprocessing = preprocessing
        self.network = network.eval()
        scale = preprocessing.offset_scale
        self._offsets = JointOffsets.of(spec, scale) if scale else None
        self._images, self._joints = (
            FrameStack(preprocessing.frame_stack, preprocessing.frame_gap) for _ in range(2)
        )

    @classmethod
    def load(cls, path: Path, task: str | None = None) -> StudentPolicy:
        """Read a checkpoint.

        :param task: refuse a checkpoint of any other task; None takes any.
        :raises CheckpointError: the file cannot be used; the message says why.
        """
        stored = load_checkpoint(path, kind="student", task=task)
        preprocessing = _preprocessing(stored.preprocessing, path)
        config = build(StudentNetConfig, stored.network, f"{path}: network")
        _check_sizes(stored.spec, preprocessing, config, path)
        network = build_network(lambda: StudentNet(config), stored, path)
        try:
            return cls(stored.spec, preprocessing, network)
        except ConfigError as error:
            raise CheckpointError(f"{path}: preprocessing cannot be used: {error}") from error

    def save(self, path: Path, record: TrainingRecord) -> None:
        """Write a checkpoint that :meth:`load` reads.

        Weights are kept as float16, half the size, but for those that would overflow there;
        what is loaded is saved again unchanged.
        """
        save_checkpoint(
            path,
            Checkpoint(
                kind="student",
                network=asdict(self.network.config),
                spec=self.spec,
                preprocessing=asdict(self.preprocessing),
                record=record,
                weights={n: _kept(w) for n, w in self.network.state_dict().items()},
            ),
        )

    def reset(self) -> None:
        """Forget earlier frames: the next observation starts new stacks."""
        self._images.reset()
        self._joints.reset()

    def act(self, observation: Observation) -> np.ndarray:
        """Action for one observation.

        :param observation: ``image`` square, at least as large as the network's picture;
            ``joints`` in the order of ``spec.joint_names``, rad or m.
        :return: float32 [A] in [-1, 1].
        :raises ImageError: malformed image. :raises ConfigError: wrong number of joints.
        """
        frame = self.preprocessing.frame(observation.image)
        present = np.asarray(observation.joints, np.float32)
        position = self.preprocessing.joints(present)
        images, joints = self._images.push(frame), self._joints.push(position[None])
        with torch.inference_mode(), single_thread():
            batch = torch.from_numpy(images)[None], torch.from_numpy(joints)[None]
            action = self.network(*batch)[0].numpy()
        return self._offsets.action(action, present) if self._offsets else action


@policies.register("student")
def shipped_student(task: str) -> StudentPolicy:
    """The student that ships for ``task``.

    :raises CheckpointError: none does.
    """
    return StudentPolicy.load(choose(shipped_students(), task), task)


@policies.register("raw_student")
def shipped_raw_student(task: str) -> StudentPolicy:
    """The student of ``task`` that learned from raw pictures, for comparison.

    :raises CheckpointError: none ships.
    """
    return StudentPolicy.load(choose(shipped_raw_students(), task), task)


@kinds.register("student")
def load_student(path: Path, task: str | None) -> StudentPolicy:
    """The policy of a ``student`` checkpoint; see :meth:`StudentPolicy.load`."""
    return StudentPolicy.load(path, task)


def _kept(weight: torch.Tensor) -> torch.Tensor:
    """A tensor as float16 where it fits."""
    small = weight.half()
    return small if torch.isfinite(small).all() else weight


def _preprocessing(stored: Mapping[str, Any], path: Path) -> StudentPreprocessing:
    where = f"{path}: preprocessing"
    if not isinstance(stored.get("joints"), dict):
        raise CheckpointError(f"{where} lacks joints")
    joints = build(Normalizer, stored["joints"], f"{where}: joints")
    return build(StudentPreprocessing, {**stored, "joints": joints}, where)


def _check_sizes(
    spec: PolicySpec, preprocessing: StudentPreprocessing, network: StudentNetConfig, path: Path
) -> None:
    """The parts of a checkpoint must agree, or the failure would come at the first frame."""
    agree = (
        network.joints == len(spec.joint_names) == len(preprocessing.joints.mean)
        and network.actions == len(spec.actuated_joints) == len(spec.command_low)
        and network.actions == len(spec.command_high)
        and network.image_size == preprocessing.image_size <= spec.image_size
        and network.frame_stack == preprocessing.frame_stack == spec.frame_stack
    )
    if not agree:
        raise CheckpointError(f"{path}: sizes in spec, preprocessing and network disagree")
