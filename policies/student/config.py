"""Every parameter of a student's training, with its only default."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from policies.training import EVALUATION_SEEDS
from samg_ros.errors import ConfigError
from samg_ros.parameters import documented, parameter, validate
from sim_bridge.render import CAMERA_SIZE


@documented
@dataclass(frozen=True)
class StudentConfig:
    """The options of ``samg train student``."""

    teacher: Path | None = parameter(
        None, "the teacher's checkpoint; None takes the one that ships"
    )
    mask: str = parameter(
        "targets",
        "what it sees: the task's targets by noisy masks; for comparison the raw picture, or "
        "nothing",
        choices=("targets", "none", "black"),
    )
    seed: int = parameter(
        0, "seeds the network, the order of the data and the episodes", low=0, high=40_000
    )
    iterations: int = parameter(
        30, "rounds of driving and training; the teacher drives in the first", low=1, high=10_000
    )
    first_episodes: int = parameter(20, "most episodes of the first round", low=1, high=1000)
    first_frames: int = parameter(
        2000,
        "the first round ends with the episode that reaches as many control steps",
        low=1,
        high=1_000_000,
    )
    episodes: int = parameter(5, "most episodes of every later round", low=1, high=1000)
    round_frames: int = parameter(
        400,
        "a later round ends with the episode that reaches as many control steps",
        low=1,
        high=1_000_000,
    )
    updates: int = parameter(400, "gradient steps a round", low=1, high=1_000_000)
    batch_size: int = parameter(64, "frame stacks a gradient step", low=1, high=10_000)
    learning_rate: float = parameter(
        1e-3, "Adam's, at the start; it falls to zero along a cosine", low=1e-8, high=1
    )
    maskings: int = parameter(
        3,
        "independently degraded maskings that are kept of every episode, where there are masks",
        low=1,
        high=16,
    )
    mask_faults: float = parameter(
        1.0,
        "how strong the faults of the masks in training are, relative to those of Adroit's at 256 "
        "px; where targets are thin and are found well, a quarter",
        low=0,
        high=4,
    )
    teacher_share_decay: float = parameter(
        0.5,
        "the teacher's share of the driving is this to the power of the round, from 1",
        low=0,
        high=1,
    )
    least_teacher_share: float = parameter(
        0.0,
        "the teacher's share never falls below this: where one slip ends in states that no good "
        "policy meets, someone has to come back from them",
        low=0,
        high=1,
    )
    mean_stretch: int = parameter(
        1,
        "how long teacher or student goes on once drawn to drive, on average",
        unit="control steps",
        low=1,
        high=10_000,
    )
    exploration_std: float = parameter(
        0.05,
        "noise on the actions that are driven (not on labels), so that recoveries are seen",
        low=0,
        high=1,
    )
    max_steps: int = parameter(
        60,
        "longest training episode of a task that reports success; others are driven to their end",
        unit="control steps",
        low=1,
        high=10_000,
    )
    steps_after_success: int = parameter(
        10,
        "control steps that are still driven once the task has succeeded",
        unit="control steps",
        low=1,
        high=10_000,
    )
    state_weight: float = parameter(
        0.1, "weight of telling the state beside imitating the action", low=0, high=1000
    )
    average_decay: float = parameter(
        0.995,
        "decay a step of the running average of weights, which is what drives and is kept",
        low=0,
        high=0.999999,
    )
    shift_pad: int = parameter(
        1,
        "pictures are shifted by up to this much in training, as by a camera that was moved a "
        "little; all of a stack alike",
        unit="px",
        low=0,
        high=32,
    )
    image_size: int = parameter(
        84, "side of the network's picture in pixels", unit="px", low=36, high=256
    )
    frame_stack: int = parameter(3, "pictures in a stack", low=1, high=16)
    frame_gap: int = parameter(
        1, "time between the pictures of a stack", unit="control steps", low=1, high=16
    )
    motion: bool = parameter(
        False,
        "what changed within a stack, in pictures and joint positions, is an input of its own: "
        "for tasks that need speeds",
    )
    offsets: bool = parameter(
        False,
        "the network gives position commands as offsets from where the joints are: for joints "
        "that move by a small part of their range in a control step",
    )
    camera_size: int = parameter(
        CAMERA_SIZE,
        "side of the camera's picture in training; a smaller one is faster, scores are always "
        f"taken at {CAMERA_SIZE}",
        unit="px",
        low=36,
        high=1024,
    )
    evaluation_episodes: int = parameter(
        20, "held-out episodes for each score", low=1, high=len(EVALUATION_SEEDS)
    )
    resume: Path | None = parameter(
        None,
        "folder of an interrupted run: resume it after its last round, under its own "
        "configuration",
    )
    runs: Path = parameter(Path("runs/train"), "where the run's folder is made")

    def __post_init__(self) -> None:
        validate(self)
        if self.camera_size < self.image_size:
            raise ConfigError(
                f"camera_size is {self.camera_size}, less than image_size {self.image_size}: a "
                "picture is only ever shrunk; make the camera's as large"
            )


Recipe = Literal["adroit", "dm_control"]
DEFAULT_RECIPE: Recipe = "adroit"
RECIPES: dict[str, StudentConfig] = {
    "adroit": StudentConfig(),
    # What has to be balanced needs more than what is grasped: speeds as an input, faults of the
    # strength that masks of thin things have, a teacher that comes back from a slip.
    "dm_control": StudentConfig(
        iterations=14,
        first_frames=4000,
        episodes=4,
        round_frames=2000,
        updates=600,
        maskings=2,
        mask_faults=0.25,
        teacher_share_decay=0.8,
        least_teacher_share=0.4,
        mean_stretch=40,
        exploration_std=0.1,
        state_weight=1.0,
        frame_gap=2,
        motion=True,
        camera_size=168,
        evaluation_episodes=4,
    ),
}
"""What ``--recipe`` chooses the defaults from: by the kind of task."""
