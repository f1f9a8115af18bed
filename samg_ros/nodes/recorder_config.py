"""Every parameter of the recorder, with its only default."""

from __future__ import annotations

from dataclasses import dataclass

from samg_ros.parameters import documented, parameter, validate


@documented
@dataclass(frozen=True)
class RecorderConfig:
    """What is recorded, and where to."""

    bag: str = parameter(
        "", "folder of the new bag; empty makes one under 'runs' by date and time"
    )
    topics: list[str] = parameter([], "topics to record; an empty list records every topic")
    compression: str = parameter(
        "zstd",
        "of the bag; none takes the disk's speed instead of a core's: raw pictures of 1080p at 30 "
        "Hz are more than zstd manages",
        choices=("zstd", "none"),
    )
    max_cache_mb: int = parameter(
        128,
        "messages that wait to be written; what finds no room is counted as lost_messages",
        unit="MB",
        low=1,
        high=10**6,
    )
    flush_s: float = parameter(
        1.0, "write what is buffered at least this often", unit="s", low=0.05, high=3600.0
    )
    min_free_mb: int = parameter(
        500,
        "stop recording, with the bag closed, when the disk has less free",
        unit="MB",
        low=0,
        high=10**9,
    )

    def __post_init__(self) -> None:
        validate(self)
