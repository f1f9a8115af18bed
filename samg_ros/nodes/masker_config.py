"""Every parameter of the masker node that is not the method's, with its only default."""

from __future__ import annotations

from dataclasses import dataclass

from samg_ros.masking.lost import LOST_BEHAVIOURS
from samg_ros.parameters import documented, parameter, validate


@documented
@dataclass(frozen=True)
class MaskerNodeConfig:
    """What the masker node does around the method."""

    reference: str = parameter("", "reference .npz, or the name of a task whose reference ships")
    mask_source: str = parameter(
        "samg",
        "where masks come from: the method, the topic 'mask_in', everything, nothing",
        choices=("samg", "topic", "none", "black"),
    )
    on_lost: str = parameter(
        "hold", "what a frame becomes when every target is lost", choices=LOST_BEHAVIOURS
    )
    autostart: bool = parameter(True, "configure and activate without a lifecycle manager")

    def __post_init__(self) -> None:
        validate(self)
