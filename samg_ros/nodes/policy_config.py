"""Every parameter of the policy node, with its only default."""

from __future__ import annotations

from dataclasses import dataclass

from samg_ros.parameters import documented, parameter, validate


@documented
@dataclass(frozen=True)
class PolicyNodeConfig:
    """Which policy acts, and what keeps the robot safe."""

    task: str = parameter("adroit_door", "task the policy must be for")
    policy: str = parameter(
        "student", "registered policy (student, random) or the path of a checkpoint"
    )
    max_frame_age_s: float = parameter(
        0.5, "frames older than this on the node's clock are refused", unit="s", low=0.0, high=60.0
    )
    frame_timeout_s: float = parameter(
        2.0, "hold when no usable frame came for this long", unit="s", low=0.05, high=600.0
    )
    new_stack_gap_s: float = parameter(
        0.5,
        "a gap in the frames' stamps that begins a new frame stack (the bridge leaves 1 s at a "
        "reset)",
        unit="s",
        low=0.01,
        high=60.0,
    )
    joint_tolerance_s: float = parameter(
        0.1, "joint states this far from a frame's stamp may go with it", unit="s", low=0, high=10
    )
    autostart: bool = parameter(True, "configure and activate without a lifecycle manager")

    def __post_init__(self) -> None:
        validate(self)
