"""What ``samg bench sim`` measures."""

from __future__ import annotations

from dataclasses import dataclass

from samg_ros.errors import ConfigError
from samg_ros.parameters import documented, parameter, validate


@documented
@dataclass(frozen=True)
class SimBench:
    """How the tasks are rendered, and how often each part of the work is timed."""

    tasks: tuple[str, ...] = parameter((), "tasks to measure; empty takes all")
    perturb: str = parameter("none", "how they are made to look, but for the plain comparison")
    size: int = parameter(84, "side of the camera's picture", unit="px", low=16, high=2048)
    shadows: bool = parameter(False, "render shadows and reflections (slow)")
    steps: int = parameter(50, "control steps, and pictures, of each part of a round", low=1)
    rounds: int = parameter(5, "rounds, of which medians are taken; one more warms up", low=1)
    workers: tuple[int, ...] = parameter(
        (1, 2, 4), "numbers of copies in worker processes to measure; empty for none"
    )
    vector_task: str = parameter("adroit_door", "task whose copies are measured")
    seed: int = parameter(0, "seed of the first episode and of the random actions", low=0)
    out: str = parameter("", "folder of the run; a new one under 'runs' by default")

    def __post_init__(self) -> None:
        validate(self)
        if any(count < 1 for count in self.workers):
            raise ConfigError(f"workers are {self.workers}; each must be at least 1")
