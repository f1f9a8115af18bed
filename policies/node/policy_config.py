"""Every parameter of the policy node, with its only default."""

from __future__ import annotations

from dataclasses import dataclass

from samg_ros.parameters import documented, parameter, validate

OUTPUTS = ("joint_state", "joint_trajectory", "float64_multi_array")
FRAME_LEAD_S = 2.0
"""For simulations, whose clock may come after an episode's first frame, 1 s on."""
_MODES = ("", "position", "velocity", "effort")


@documented
@dataclass(frozen=True)
class PolicyNodeConfig:
    """Which policy acts, what it is wired to, and what keeps the robot safe."""

    task: str = parameter("adroit_door", "task the policy must be for")
    policy: str = parameter(
        "student",
        "registered policy (student, raw_student, random), name of a checkpoint that ships, or "
        "path of one",
    )
    camera: str = parameter(
        "", "camera the frames come from; another one than the policy's is refused (empty: any)"
    )
    mask: str = parameter(
        "",
        "what the frames are: all but the targets black, the camera's, or all black; another than "
        "the policy learned from is refused (empty: any)",
        choices=("", "targets", "none", "black"),
    )
    crop: str = parameter(
        "none",
        "what is cut from the frames, which policies need square: nothing, or all but the square "
        "around the center, as of a camera of 640x480",
        choices=("none", "center"),
    )
    joints: list[str] = parameter(
        [], "what joint_states will carry; a policy that needs another is refused (empty: any)"
    )
    command_joints: list[str] = parameter(
        [],
        "joints the robot takes commands for, in its controller's order; the policy must command "
        "them all (empty: the policy's)",
    )
    command_mode: str = parameter(
        "", "what the robot takes; another policy is refused (empty: any)", choices=_MODES
    )
    output: str = parameter(
        "joint_state",
        "message on joint_command: sensor_msgs/JointState, a trajectory_msgs/JointTrajectory of "
        "one point (for policies that command positions), or a std_msgs/Float64MultiArray in the "
        "order of command_joints, or the policy's where that is empty",
        choices=OUTPUTS,
    )
    trajectory_time_s: float = parameter(
        0.0,
        "time a JointTrajectory gives to reach its point; 0 takes the policy's control step",
        unit="s",
        low=0.0,
        high=60.0,
    )
    range_share: float = parameter(
        1.0,
        "share of the policy's command range, around its middle, that is used",
        low=0.0,
        high=1.0,
    )
    urdf: str = parameter(
        "",
        "robot description that narrows the limits of positions, velocities and efforts: the path "
        "of a URDF, or 'topic' for robot_description, which is then waited for (empty: none)",
    )
    max_rate: float = parameter(
        0.0,
        "largest change of a command in a second, in its unit a second (rad/s of positions); a "
        "first position starts from the measured one; 0 takes the URDF's velocity, or else the "
        "policy's whole range in one of its control steps",
        low=0.0,
        high=1e6,
    )
    max_acceleration: float = parameter(
        0.0,
        "largest change of that in a second, in its unit a second squared; 0 sets no limit",
        low=0.0,
        high=1e9,
    )
    speed_scale: float = parameter(
        1.0,
        "share of the largest rate, and of a velocity's range, that is used; may be changed while "
        "the robot moves",
        low=0.0,
        high=1.0,
        runtime=True,
    )
    reach_tolerance: float = parameter(
        0.5,
        "share of a joint's range by which its measured position may lie beyond it and still be "
        "believed; else the robot is held",
        low=0.0,
        high=10.0,
    )
    start_enabled: bool = parameter(
        True,
        "the policy may move the robot as soon as it is active; else ~/enable has to allow it",
    )
    hold_at: str = parameter(
        "command",
        "where a hold keeps positions: at the last command, or where the joints were measured as "
        "it began",
        choices=("command", "measured"),
    )
    allow_other_publishers: bool = parameter(
        False, "act though another node publishes on joint_command too; else that is an error"
    )
    max_frame_age_s: float = parameter(
        0.5, "frames older than this on the node's clock are refused", unit="s", low=0.0, high=60.0
    )
    max_frame_lead_s: float = parameter(
        0.2,
        "frames further than this ahead of the node's clock are refused; a simulation's clock may "
        "come after a frame",
        unit="s",
        low=0.0,
        high=60.0,
    )
    frame_timeout_s: float = parameter(
        2.0, "hold when no usable frame came for this long", unit="s", low=0.05, high=600.0
    )
    joints_timeout_s: float = parameter(
        2.0, "hold when no joint states came for this long", unit="s", low=0.05, high=600.0
    )
    heartbeat_timeout_s: float = parameter(
        0.0,
        "hold when nothing came on heartbeat (std_msgs/Empty) for this long; 0 asks for none",
        unit="s",
        low=0.0,
        high=600.0,
    )
    hold_period_s: float = parameter(
        0.5, "how often a hold is looked at and repeated", unit="s", low=0.01, high=60.0
    )
    max_lost_frames: int = parameter(
        0,
        "hold from so many wholly black frames in a row on, in which every target is lost; 0 lets "
        "the policy act on them; a masker shows lost frames black with on_lost blank",
        unit="frames",
        low=0,
        high=100_000,
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
    joint_stamps: str = parameter(
        "message",
        "when joint states were measured: as their stamps say, or, for a publisher that leaves "
        "them zero, as they arrive",
        choices=("message", "arrival"),
    )
    autostart: bool = parameter(True, "configure and activate without a lifecycle manager")

    def __post_init__(self) -> None:
        validate(self)
