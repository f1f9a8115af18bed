"""Every parameter of a DrQ-v2 training, with its only default: the publication's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from samg_ros.errors import ConfigError
from samg_ros.parameters import documented, parameter, validate
from sim_bridge.render import CAMERA_SIZE

if TYPE_CHECKING:
    from policies.drqv2.networks import DrQV2NetConfig


@documented
@dataclass(frozen=True)
class DrQV2Config:
    """The options of ``samg train drqv2``. A frame is one step of the simulator: an action
    counts as often as the task repeats it (twice)."""

    mask: str = parameter(
        "oracle",
        "what the agent sees: the raw picture, the simulator's masks, or SAM-G's",
        choices=("none", "oracle", "samg"),
    )
    reference: Path | None = parameter(
        None, "SAM-G's reference, .npz; None takes the one that ships for the task"
    )
    seed: int = parameter(
        0, "seeds networks, exploration, samples and episodes", low=0, high=40_000
    )
    frames: int = parameter(500_000, "frames to train for", low=1, high=10**9)
    environments: int = parameter(
        4,
        "copies of the task that run at the same time, one process each; the updates a frame stay "
        "the same. The publication's is 1",
        low=1,
        high=1024,
    )
    camera_size: int = parameter(
        CAMERA_SIZE,
        "side of the camera's picture, which is masked, then shrunk to image_size; 84 is the "
        "publication's and three times faster to render",
        unit="px",
        low=16,
        high=2048,
    )
    image_size: int = parameter(84, "side of the network's picture", unit="px", low=24, high=256)
    frame_stack: int = parameter(3, "pictures in a stack", low=1, high=16)
    n_step: int = parameter(
        3, "rewards before the value in a target; the publication's is 1 on walker", low=1, high=50
    )
    discount: float = parameter(0.99, "discount of a control step", low=0, high=1)
    batch_size: int = parameter(
        256, "transitions an update; the publication's is 512 on walker", low=1, high=10_000
    )
    learning_rate: float = parameter(1e-4, "Adam's, of all networks", low=1e-8, high=1)
    channels: int = parameter(32, "of each of the encoder's four convolutions", low=1, high=1024)
    features: int = parameter(50, "width of actor's and critic's picture codes", low=1, high=4096)
    hidden: int = parameter(1024, "width of their two hidden layers", low=1, high=8192)
    shift_pad: int = parameter(
        4, "pictures are shifted by up to this much in training", unit="px", low=0, high=32
    )
    stddev_start: float = parameter(1.0, "exploration noise at the start", low=0, high=10)
    stddev_end: float = parameter(0.1, "exploration noise at the end", low=0, high=10)
    stddev_steps: int = parameter(
        100_000,
        "control steps over which the noise falls, linearly; the publication's is 100000 for easy "
        "tasks, 500000 for medium and 2000000 for hard ones",
        low=1,
        high=10**9,
    )
    stddev_clip: float = parameter(
        0.3, "largest noise on the actions of an update, to either side", low=0, high=10
    )
    target_tau: float = parameter(
        0.01, "share of the critic that its target takes over an update", low=0, high=1
    )
    update_every: int = parameter(2, "control steps an update", low=1, high=10_000)
    seed_frames: int = parameter(
        4000, "frames of uniformly random actions before the first update", low=0, high=10**9
    )
    replay_capacity: int = parameter(
        1_000_000,
        "control steps that are kept; no more memory is taken than the run can fill",
        low=100,
        high=10**9,
    )
    evaluate_every: int = parameter(20_000, "frames between evaluations", low=1, high=10**9)
    evaluation_episodes: int = parameter(10, "episodes an evaluation", low=1, high=50)
    score_episodes: int = parameter(
        20, "episodes of the final score, on seeds of its own; 0 leaves it out", low=0, high=20
    )
    log_every: int = parameter(2000, "frames between points of the loss curves", low=1, high=10**9)
    checkpoint_every: int = parameter(
        20_000, "frames that a killed run loses at most", low=1, high=10**9
    )
    device: str = parameter("auto", "torch device: auto, cpu, cuda, cuda:1, ...")
    threads: int = parameter(0, "torch CPU threads; 0 leaves torch's default", low=0, high=256)
    compile: bool = parameter(
        False, "compile the losses (a minute at the start; for GPUs, needs a C++ compiler)"
    )
    tensorboard: bool = parameter(True, "also write the curves for TensorBoard")
    resume: Path | None = parameter(
        None, "folder of a run to resume, under its configuration; only frames may be new"
    )
    runs: Path = parameter(Path("runs/train"), "where the run's folder is made")

    def __post_init__(self) -> None:
        validate(self)
        if self.image_size > self.camera_size:
            raise ConfigError(
                f"image_size {self.image_size} is larger than camera_size {self.camera_size}: "
                "pictures are only ever shrunk"
            )
        if self.reference and self.mask != "samg":
            raise ConfigError("a reference is of use with --mask samg only")

    def network(self, actions: int) -> DrQV2NetConfig:
        """Sizes of the networks for a task with ``actions`` action values."""
        from policies.drqv2.networks import DrQV2NetConfig

        return DrQV2NetConfig(
            image_size=self.image_size,
            frame_stack=self.frame_stack,
            actions=actions,
            channels=self.channels,
            features=self.features,
            hidden=self.hidden,
        )

    def stddev(self, steps: int) -> float:
        """Standard deviation of the exploration noise after ``steps`` control steps."""
        share = min(steps / self.stddev_steps, 1.0)
        return self.stddev_start + share * (self.stddev_end - self.stddev_start)
