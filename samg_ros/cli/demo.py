"""``samg demo``: the whole loop as separate processes over DDS, with figures and pictures."""

from __future__ import annotations

import json
import os
import platform
import signal
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table

from samg_ros.errors import ConfigError
from samg_ros.parameters import documented, parameter, validate
from samg_ros.pipeline.processes import Processes

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
        "how the world is made to look: none, or terms with commas between them, such as "
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


def main(argv: list[str]) -> int:
    """Run ``samg demo``. :return: 0 when every episode ran to its end."""
    config = tyro.cli(DemoConfig, prog="samg demo", args=argv)
    console = Console(stderr=config.json, quiet=config.json)
    folder = run_folder(config.out)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, _interrupt)
    weights = check_inputs(config, console)
    began = time.monotonic()
    memory = run_pipeline(config, folder, console)
    summary = summarize(config, folder, weights, memory, time.monotonic() - began)
    if config.json:
        print(json.dumps(summary, indent=2))
    else:
        show(summary, folder, console)
    return 0 if not any(e["timed_out"] for e in summary["episodes"]) else 1


def run_folder(given: str) -> Path:
    """A new folder for the run. :raises ConfigError: it holds something already."""
    folder = Path(given or f"runs/demo_{datetime.now():%Y%m%d_%H%M%S}").expanduser().resolve()
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty; name a new folder with --out")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def check_inputs(config: DemoConfig, console: Console) -> dict[str, str]:
    """Fail before any process starts; fetch what is missing, said on screen.

    :return: which weights the masker will use, by checkpoint.
    """
    from policies.eval_checks import check_world, world_of
    from policies.registry import load_policy
    from samg_ros.masking.config import MaskerConfig
    from samg_ros.masking.reference import find_reference
    from samg_ros.models.weights import resolve
    from sim_bridge.perturbations import make_perturbation
    from sim_bridge.task import tasks

    tasks.get(config.task)
    make_perturbation(config.perturb, config.task)
    policy = load_policy(config.policy, config.task)
    check_world(policy.spec, world_of(config.task), config.policy)
    if config.mask != "samg":
        return {}
    find_reference(config.task)
    masker = MaskerConfig(device=config.device)

    def say(line: str) -> None:
        console.print(line, highlight=False, soft_wrap=True)

    found = {}
    for name in (masker.segmenter, masker.features):
        weights = resolve(name, log=say)
        found[name] = f"{weights.variant}, from {weights.source}"
    return found


def run_pipeline(config: DemoConfig, folder: Path, console: Console) -> dict[str, float]:
    """Start the four nodes, run the episodes, stop the nodes. :return: peak memory, MB."""
    from samg_ros.ros.environment import dds_environment, free_domain_id, isolated_environment

    # This process talks to the nodes, so it needs the same domain and transport.
    os.environ.update(dds_environment() | isolated_environment(free_domain_id()))
    with Processes(folder / "logs", dict(os.environ)) as processes:
        for name, (module, arguments) in nodes(config, folder).items():
            processes.start(name, module, arguments)
        conduct(config, processes, console)
    return {child.name: round(child.peak_memory_mb) for child in processes.children}


def nodes(config: DemoConfig, folder: Path) -> dict[str, tuple[str, list[str]]]:
    """Each process's module and its ROS arguments."""
    from samg_ros.pipeline import topics

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
    policy = {"task": config.task, "policy": config.policy, "use_sim_time": True}
    recorder = {"bag": folder / "bag", "topics": list(topics.RECORDED)}
    to_masker = {"image": topics.RAW, "mask_in": topics.TRUTH}
    return {
        "recorder": ("samg_ros.nodes.recorder_node", ros_arguments(recorder)),
        "bridge": ("sim_bridge.bridge_node", ros_arguments(bridge)),
        "masker": ("samg_ros.nodes.masker_node", ros_arguments(masker, to_masker)),
        "policy": ("samg_ros.nodes.policy_node", ros_arguments(policy, {"image": topics.MASKED})),
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

    from samg_ros.pipeline import topics
    from samg_ros.pipeline.conductor import Conductor, Progress

    wires: dict[str, set[str]] = {topic: {"recorder"} for topic in topics.RECORDED}
    wires[topics.RAW] |= {"masker"}
    wires[topics.MASKED] |= {"policy"}
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


def summarize(
    config: DemoConfig, folder: Path, weights: dict, memory: dict, seconds: float
) -> dict:
    """Read the bag back, write pictures and ``summary.json``. :return: the summary."""
    from samg_ros.pipeline.report import counts_of, draw, episodes_of

    bag, sheet, video = folder / "bag", folder / "contact_sheet.png", folder / "episode.mp4"
    episodes = episodes_of(bag)
    draw(bag, sheet, video)
    successes = [e.success for e in episodes if e.success is not None]
    summary = {
        "config": asdict(config),
        "episodes": [episode.to_json() for episode in episodes],
        "successes": sum(successes) if successes else None,
        "mean_iou": sum(e.mean_iou for e in episodes) / len(episodes),
        "seconds": round(seconds, 1),
        "peak_memory_mb": memory,
        "weights": weights,
        "messages": counts_of(bag),
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": len(os.sched_getaffinity(0)),
            "python": platform.python_version(),
            "torch": version("torch"),
        },
        "files": {"bag": str(bag), "contact_sheet": str(sheet), "video": str(video)},
    }
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    return summary


def show(summary: dict, folder: Path, console: Console) -> None:
    """The table of episodes, and where everything lies."""
    table = Table(title=f"{summary['config']['task']}, masks: {summary['config']['mask']}")
    figures = ("mean IoU", "frames/s", "p50 ms", "p95 ms")
    for heading in ("seed", "success", "return", "steps", *figures):
        table.add_column(heading, justify="right")
    for e in summary["episodes"]:
        table.add_row(
            str(e["seed"]),
            {True: "yes", False: "no", None: "-"}[e["success"]],
            f"{e['return']:.1f}",
            f"{e['steps']}{' (timed out)' if e['timed_out'] else ''}",
            f"{e['mean_iou']:.3f}",
            f"{e['frames_per_s']:.1f}",
            f"{e['latency_p50_ms']:.0f}",
            f"{e['latency_p95_ms']:.0f}",
        )
    console.print(table)
    memory = ", ".join(f"{name} {mb} MB" for name, mb in summary["peak_memory_mb"].items())
    console.print(f"peak memory: {memory}", highlight=False)
    console.print(f"everything is in {folder}", highlight=False, soft_wrap=True)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt
