"""Every parameter of the bridge, with its only default."""

from __future__ import annotations

from dataclasses import dataclass

from samg_ros.parameters import documented, parameter, validate


@documented
@dataclass(frozen=True)
class BridgeConfig:
    """What is simulated and on which clock."""

    task: str = parameter("adroit_door", "name of the task")
    perturb: str = parameter(
        "none",
        "perturbation of how the task looks: none, or terms with commas between them, such as "
        "video_hard=FOLDER,camera_pose=medium; a new value shows from the next picture on",
        runtime=True,
    )
    camera: str = parameter("", "camera of the task; empty takes its default")
    seed: int = parameter(
        0,
        "seed of the next episode; each further one adds 1",
        low=0,
        high=2**31,
        runtime=True,
    )
    mode: str = parameter(
        "lockstep",
        "lockstep waits for the command that carries the frame's stamp; realtime never waits",
        choices=("lockstep", "realtime"),
    )
    image_height: int = parameter(256, "rows of the camera image", unit="px", low=16, high=2048)
    image_width: int = parameter(256, "columns of the camera image", unit="px", low=16, high=2048)
    shadows: bool = parameter(False, "render shadows and reflections (slow)")
    autostart: bool = parameter(True, "begin the first episode at once, not at the first ~/reset")
    auto_reset: bool = parameter(True, "begin the next episode when one is done")
    stop_on_success: bool = parameter(True, "an episode is done at its first success")
    publish_truth: bool = parameter(True, "publish the true mask on ~/mask_truth")
    publish_depth: bool = parameter(
        False,
        "render depth too, which takes about as long as a true mask, and publish it on "
        "'depth/image_raw': 32FC1, m along the camera's axis, infinite where nothing is",
    )
    resend_s: float = parameter(
        5.0,
        "lockstep: send the frame again after this long without a command",
        unit="s",
        low=0.1,
        high=600.0,
    )
    command_timeout_s: float = parameter(
        30.0,
        "lockstep: give the episode up after this long without a command",
        unit="s",
        low=0.1,
        high=3600.0,
    )
    steps_per_call: int = parameter(
        1,
        "control steps that one call of ~/step lets pass while paused",
        low=1,
        high=100000,
        runtime=True,
    )

    def __post_init__(self) -> None:
        validate(self)
