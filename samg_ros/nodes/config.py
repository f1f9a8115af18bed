"""Every parameter of the masker node that is not the method's, and of the recorder: the only place
of their defaults. Without ROS."""

from __future__ import annotations

import re
from dataclasses import dataclass

from samg_ros.errors import ConfigError
from samg_ros.masking.config import LOST_BEHAVIOURS, ONLY
from samg_ros.parameters import documented, parameter, validate

# A relative ROS name, of one or several parts. ROS allows 255 characters for the whole topic.
CAMERA_NAME = re.compile(r"[A-Za-z_]\w*(/[A-Za-z_]\w*)*", re.ASCII)
NAME_LENGTH = 100


@documented
@dataclass(frozen=True)
class MaskerNodeConfig:
    """What the masker node does around the method."""

    reference: str = parameter("", "reference .npz, or the name of a task whose reference ships")
    cameras: list[str] = parameter(
        [], "names of several cameras: CAMERA/image becomes ~/CAMERA/image; empty: a single one"
    )
    references: list[str] = parameter(
        [], "references for 'cameras': one for each, in their order, or one for all"
    )
    max_batch: int = parameter(
        0,
        "cameras whose frames are masked at once; 0: all on a GPU, but one on a CPU, which is no "
        "faster with more",
        low=0,
        high=64,
    )
    max_wait_ms: int = parameter(
        10,
        "how long a frame may wait for other cameras' frames to be masked with",
        unit="ms",
        low=0,
        high=1000,
    )
    mask_source: str = parameter(
        "samg",
        "where masks come from: the method, the topic 'mask_in', everything, nothing",
        choices=("samg", "topic", "none", "black"),
    )
    on_lost: str = parameter(
        "hold",
        "what a frame becomes when every target is lost: seen through the last mask, however old; "
        "as it is; or black, which the policy's max_lost_frames counts",
        choices=LOST_BEHAVIOURS,
    )
    autostart: bool = parameter(True, "configure and activate without a lifecycle manager")

    def __post_init__(self) -> None:
        validate(self)
        self._check_cameras()
        self._check_references()

    @property
    def camera_names(self) -> list[str]:
        """The cameras; a single one has the empty name, and its topics are the node's own."""
        return self.cameras or [ONLY]

    @property
    def reference_names(self) -> dict[str, str]:
        """What each camera's reference is called; it may be empty where none is needed."""
        given = self.references or [self.reference]
        each = given * len(self.camera_names) if len(given) == 1 else given
        return dict(zip(self.camera_names, each, strict=True))

    def _check_cameras(self) -> None:
        for number, name in enumerate(self.cameras):
            if not CAMERA_NAME.fullmatch(name) or len(name) > NAME_LENGTH:
                raise ConfigError(
                    f"cameras: {name!r} cannot be part of a topic; use letters, digits and "
                    f"underscores, no digit first, at most {NAME_LENGTH}"
                )
            if name in self.cameras[:number]:
                raise ConfigError(f"cameras: {name!r} is there twice; each needs its own name")

    def _check_references(self) -> None:
        count = len(self.references)
        if count and self.reference:
            raise ConfigError(
                "both 'references' and 'reference' are set; which of them is meant? Set one"
            )
        if count and not self.cameras:
            raise ConfigError("'references' go with 'cameras'; for a single one set 'reference'")
        if count not in (0, 1, len(self.cameras)):
            raise ConfigError(
                f"there are {len(self.cameras)} cameras and {count} references; give one for "
                "each camera, in their order, or one for all"
            )
        if self.cameras and not (count or self.reference) and self.mask_source == "samg":
            raise ConfigError(
                "the cameras have no reference; set 'references' to .npz files made by "
                "`samg reference`: one for each camera, or one for all"
            )


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
