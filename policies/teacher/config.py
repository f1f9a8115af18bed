"""Every parameter of a teacher's training, with its only default."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from samg_ros.parameters import documented, parameter, validate


@documented
@dataclass(frozen=True)
class ImitationConfig:
    """How an expert is imitated."""

    iterations: int = parameter(
        10, "rounds of driving and training; the expert drives in the first", low=1, high=10_000
    )
    episodes: int = parameter(20, "episodes a round", low=1, high=1000)
    updates: int = parameter(1500, "gradient steps a round", low=1, high=1_000_000)
    batch_size: int = parameter(256, "states a gradient step", low=1, high=100_000)
    learning_rate: float = parameter(
        1e-3, "Adam's, at the start; it falls to zero along a cosine", low=1e-8, high=1
    )
    hidden: int = parameter(128, "width of the two hidden layers", low=1, high=4096)
    exploration_std: float = parameter(
        0.1,
        "noise on the actions that are driven (not on labels), so that recoveries are seen",
        low=0,
        high=1,
    )

    def __post_init__(self) -> None:
        validate(self)


@documented
@dataclass(frozen=True)
class SacConfig:
    """How a teacher learns from rewards. One gradient step is made every control step."""

    rounds: int = parameter(
        20,
        "rounds of driving and learning; each ends with an evaluation and a stored state",
        low=1,
        high=100_000,
    )
    episodes: int = parameter(10, "episodes a round", low=1, high=1000)
    stop_at: float = parameter(
        1000.0, "mean validation return at which training ends early", low=-1e6, high=1e6
    )
    evaluation_episodes: int = parameter(
        10, "validation episodes a round; the best round's network is kept", low=1, high=50
    )
    warm_up: int = parameter(
        1000,
        "control steps of random actions before the first gradient step",
        unit="control steps",
        low=1,
        high=10**6,
    )
    batch_size: int = parameter(128, "transitions a gradient step", low=1, high=100_000)
    learning_rate: float = parameter(5e-4, "Adam's, of all networks", low=1e-8, high=1)
    hidden: int = parameter(128, "width of the two hidden layers", low=1, high=4096)
    n_step: int = parameter(3, "rewards before the value in a target", low=1, high=50)
    discount: float = parameter(0.99, "discount of a control step", low=0, high=1)
    target_tau: float = parameter(
        0.01, "share of the critic that its target takes over a gradient step", low=0, high=1
    )
    reference_share: float = parameter(
        0.0,
        "share of the training episodes that begin near the model's reference configuration, "
        "where a robot stands: for rewards that are zero until it does (tasks of DMControl)",
        low=0,
        high=1,
    )
    hint: float = parameter(
        0.0,
        "weight of a hint beside the reward, from 0 to 1 a control step, that says how near the "
        "reward is; never part of a score (hopper: how high its torso is)",
        low=0,
        high=100,
    )

    def __post_init__(self) -> None:
        validate(self)


@documented
@dataclass(frozen=True)
class TeacherConfig:
    """The options of ``samg train teacher``."""

    expert: Path | None = parameter(
        None,
        "file of an expert to imitate, a tanh MLP as .npz; None learns from the task's rewards",
    )
    seed: int = parameter(
        0, "seeds the network, the order of the data and the episodes", low=0, high=40_000
    )
    resume: Path | None = parameter(
        None,
        "folder of a run to resume, under its configuration; only --sac.rounds and "
        "--sac.stop-at may be new (runs that learn from rewards). It is read as pickles, so it "
        "must be your own",
    )
    start_from: Path | None = parameter(
        None,
        "folder of a run that learned another task of the same robot from its rewards: its "
        "networks are the start (a walker that can stand learns to walk, and not to crawl)",
    )
    runs: Path = parameter(Path("runs/train"), "where the run's folder is made")
    imitation: ImitationConfig = field(default_factory=ImitationConfig)
    """with --expert"""
    sac: SacConfig = field(default_factory=SacConfig)
    """without --expert"""

    def __post_init__(self) -> None:
        validate(self)
