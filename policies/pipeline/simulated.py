"""``samg demo``: the whole loop as separate processes over DDS, with figures and pictures."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from policies.node.policy_config import FRAME_LEAD_S
from policies.pipeline.processes import Processes
from samg_ros.parameters import documented, parameter, validate

READY_TIMEOUT_S = 300.0
SILENCE_TIMEOUT_S = 120.0
SETTLE_S = 1.0
MASK_SOURCES = {"samg": "samg", "oracle": "topic", "none": "none", "black": "black"}


@documented
@dataclass(frozen=True)
class DemoConfig:
    """A simulated robot does its task while the world behind it changes."""

    task: str = parameter("adroit_door", "task to run")
    perturb: str = parameter(
        "photos",
        "perturbation of how the world looks: none, or terms with commas between them, such as "
        "video_hard=FOLDER,camera_pose=medium",
    )
    mask: str = parameter(
        "samg",
        "samg: the method; oracle: the simulator's own masks; none: the raw picture; "
        "black: nothing to see, a control",
        choices=tuple(MASK_SOURCES),
    )
    episodes: int = parameter(3, "episodes to run", low=1, high=100000)
    seed: int = parameter(0, "seed of the first episode; each further one adds 1", low=0)
    policy: str = parameter("student", "student, random, or the path of a checkpoint")
    out: str = parameter("", "folder of the run; a new one under 'runs' by default")
    device: str = parameter("auto", "torch device of the masker: auto, cpu, cuda, ...")
    realtime: bool = parameter(False, "let the simulation run on without waiting for commands")
    json: bool = parameter(False, "print the summary alone, as JSON")

    def __post_init__(self) -> None:
        validate(self)


def run_pipeline(config: DemoConfig, folder: Path, console: Console) -> dict[str, float]:
    """Start the four nodes, run the episodes, stop the nodes. :return: peak memory, MB."""
    from samg_ros.ros.environment import dds_environment, free_domain_id, isolated_environment

    # This process talks to the nodes, so it needs the same domain and transport.
    os.environ.update(dds_environment(local=True) | isolated_environment(free_domain_id()))
    with Processes(folder / "logs", dict(os.environ)) as processes:
        for name, (module, arguments) in nodes(config, folder).items():
            processes.start(name, module, arguments)
        conduct(config, processes, console)
    return {child.name: round(child.peak_memory_mb) for child in processes.children}


def nodes(config: DemoConfig, folder: Path) -> dict[str, tuple[str, list[str]]]:
    """Each process's module and its ROS arguments."""
    from policies.pipeline import recording

    bridge = {
        "task": config.task,
        "perturb": config.perturb,
        "seed": config.seed,
        "mode": "realtime" if config.realtime else "lockstep",
        "autostart": False,
        "auto_reset": False,
    }
    masker = {
        "mask_source": MASK_SOURCES[config.mask],
        "reference": config.task,
        "device": config.device,
    }
    policy = {
        "task": config.task,
        "policy": config.policy,
        "use_sim_time": True,
        "max_frame_lead_s": FRAME_LEAD_S,
    }
    recorder = {"bag": folder / "bag", "topics": list(recording.RECORDED)}
    to_masker = {"image": recording.RAW, "mask_in": recording.TRUTH}
    return {
        "recorder": ("samg_ros.nodes.recorder_node", ros_arguments(recorder)),
        "bridge": ("sim_bridge.bridge.node", ros_arguments(bridge)),
        "masker": ("samg_ros.nodes.masker_node", ros_arguments(masker, to_masker)),
        "policy": (
            "policies.node.policy_node",
            ros_arguments(policy, {"image": recording.MASKED}),
        ),
    }


def ros_arguments(parameters: dict, remappings: dict[str, str] | None = None) -> list[str]:
    """``--ros-args`` for parameters (values as YAML) and remappings."""
    arguments = ["--ros-args"]
    for name, value in parameters.items():
        text = json.dumps(str(value) if isinstance(value, Path) else value)
        arguments += ["-p", f"{name}:={text}"]
    for name, topic in (remappings or {}).items():
        arguments += ["-r", f"{name}:={topic}"]
    return arguments


def conduct(config: DemoConfig, processes: Processes, console: Console) -> None:
    """Wait for the nodes and run the episodes one after the other, with a live line."""
    import rclpy

    from policies.pipeline import recording
    from policies.pipeline.conductor import Conductor, Progress

    wires: dict[str, set[str]] = {topic: {"recorder"} for topic in recording.RECORDED}
    wires[recording.RAW] |= {"masker"}
    wires[recording.MASKED] |= {"policy"}
    # The nodes' handlers must not take SIGINT from ours: the clean-up hangs on it.
    rclpy.init(signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
    conductor = Conductor(processes.check)
    try:
        with console.status("starting bridge, masker, policy and recorder") as status:
            conductor.wait_until_wired(wires, READY_TIMEOUT_S)

            def report(now: Progress) -> None:
                status.update(
                    f"episode {now.episode + 1}/{config.episodes}, step {now.step}: "
                    f"{now.frames_per_s:.1f} frames/s, mask score {now.score}, "
                    f"latency {now.latency_ms:.0f} ms"
                )

            for _ in range(config.episodes):
                conductor.run_episode(report, SILENCE_TIMEOUT_S)
            conductor.settle(SETTLE_S)
    finally:
        conductor.destroy_node()
        rclpy.try_shutdown()
