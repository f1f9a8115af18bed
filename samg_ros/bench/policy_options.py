"""What ``samg bench policy`` measures."""

from __future__ import annotations

from dataclasses import dataclass

from samg_ros.parameters import documented, parameter, validate


@documented
@dataclass(frozen=True)
class PolicyBench:
    """Which policies are timed, and how often."""

    policies: tuple[str, ...] = parameter(
        (), "names of checkpoints that ship, or paths of any; empty takes every student that ships"
    )
    calls: int = parameter(200, "observations of a round", low=10, high=100_000)
    rounds: int = parameter(
        5, "rounds, of which medians are taken; one more warms up", low=1, high=1000
    )
    via_ros: bool = parameter(
        False, "also send the observations through a policy node, one after the other"
    )
    seed: int = parameter(0, "seed of the pictures", low=0)
    out: str = parameter("", "folder of the run; a new one under 'runs' by default")

    def __post_init__(self) -> None:
        validate(self)
