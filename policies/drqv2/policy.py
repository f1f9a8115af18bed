"""A DrQ-v2 agent as it is deployed: camera images to actions, without the joints."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from policies.base import Observation
from policies.drqv2.networks import DrQV2Net, DrQV2NetConfig
from policies.preprocessing import FrameStack
from policies.registry import kinds
from samg_ros.errors import CheckpointError
from samg_ros.io.checkpoint import (
    Checkpoint,
    TrainingRecord,
    build,
    build_network,
    load_checkpoint,
    save_checkpoint,
)
from samg_ros.machine import single_thread
from samg_ros.robot import PolicySpec
from sim_bridge.scenes.views import area_resize


@dataclass(frozen=True)
class PicturePreprocessing:
    """``image_size``: side of the network's picture in pixels."""

    image_size: int
    frame_stack: int


class DrQV2Policy:
    """A :class:`policies.base.Policy` around a :class:`DrQV2Net`; it acts without noise."""

    def __init__(self, spec: PolicySpec, network: DrQV2Net) -> None:
        self.spec = spec
        self.network = network.eval()
        self.preprocessing = PicturePreprocessing(
            network.config.image_size, network.config.frame_stack
        )
        self._stack = FrameStack(self.preprocessing.frame_stack)

    @classmethod
    def load(cls, path: Path, task: str | None = None) -> DrQV2Policy:
        """Read a checkpoint.

        :param task: refuse a checkpoint of any other task; None takes any.
        :raises CheckpointError: the file cannot be used; the message says why.
        """
        stored = load_checkpoint(path, kind="drqv2", task=task)
        config = build(DrQV2NetConfig, stored.network, f"{path}: network")
        preprocessing = build(PicturePreprocessing, stored.preprocessing, f"{path}: preprocessing")
        _check_sizes(stored.spec, preprocessing, config, path)
        network = build_network(lambda: DrQV2Net(config), stored, path)
        return cls(stored.spec, network)

    def save(self, path: Path, record: TrainingRecord) -> None:
        """Write a checkpoint that :meth:`load` reads."""
        save_checkpoint(
            path,
            Checkpoint(
                kind="drqv2",
                network=asdict(self.network.config),
                spec=self.spec,
                preprocessing=asdict(self.preprocessing),
                record=record,
                weights=self.network.state_dict(),
            ),
        )

    def reset(self) -> None:
        """Forget earlier frames: the next observation starts a new stack."""
        self._stack.reset()

    def act(self, observation: Observation) -> np.ndarray:
        """Action for one observation, of which only the picture is looked at.

        :param observation: ``image`` square, at least as large as the network's picture.
        :return: float32 [A] in [-1, 1].
        :raises ImageError: malformed image.
        """
        picture = area_resize(observation.image, self.preprocessing.image_size)
        images = self._stack.push(picture.transpose(2, 0, 1))
        with torch.inference_mode(), single_thread():
            return self.network(torch.from_numpy(images)[None])[0].numpy()


@kinds.register("drqv2")
def load_drqv2(path: Path, task: str | None) -> DrQV2Policy:
    """The policy of a ``drqv2`` checkpoint; see :meth:`DrQV2Policy.load`."""
    return DrQV2Policy.load(path, task)


def _check_sizes(
    spec: PolicySpec, preprocessing: PicturePreprocessing, network: DrQV2NetConfig, path: Path
) -> None:
    """The parts of a checkpoint must agree, or the failure would come at the first frame."""
    agree = (
        network.actions == len(spec.actuated_joints) == len(spec.command_low)
        and network.actions == len(spec.command_high)
        and network.image_size == preprocessing.image_size <= spec.image_size
        and network.frame_stack == preprocessing.frame_stack == spec.frame_stack
    )
    if not agree:
        raise CheckpointError(f"{path}: sizes in spec, preprocessing and network disagree")
