"""``samg demo``: the whole loop as separate processes over DDS, with figures and pictures."""

from __future__ import annotations

import json
import signal
import time
from dataclasses import asdict
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table

from policies.pipeline.simulated import DemoConfig, run_pipeline
from samg_ros.io.run_folder import RunFolder, command_line


def main(argv: list[str]) -> int:
    """Run ``samg demo``. :return: 0 when every episode ran to its end."""
    config = tyro.cli(DemoConfig, prog="samg demo", args=argv)
    console = Console(stderr=config.json, quiet=config.json)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, _interrupt)
    weights = check_inputs(config, console)
    repeats = command_line("samg demo", config, ("out", "json"))
    with RunFolder.begin("demo", config, repeats, out=config.out) as run:
        folder = run.path.resolve()
        began = time.monotonic()
        memory = run_pipeline(config, folder, console)
        summary = summarize(config, folder, weights, memory, time.monotonic() - began)
        run.write_results(summary)
    if config.json:
        print(json.dumps(summary, indent=2))
    else:
        show(summary, folder, console)
    return 0 if not any(e["timed_out"] for e in summary["episodes"]) else 1


def check_inputs(config: DemoConfig, console: Console) -> dict[str, str]:
    """Fail before any process starts; fetch what is missing, said on screen.

    :return: which weights the masker will use, by checkpoint.
    """
    from policies.eval.prepare import check_world
    from policies.registry import load_policy
    from samg_ros.masking.config import MaskerConfig
    from samg_ros.masking.reference import find_reference
    from samg_ros.weights.resolve import resolve
    from sim_bridge.perturbations.grammar import make_perturbation
    from sim_bridge.scenes.scene import world_of
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


def summarize(
    config: DemoConfig, folder: Path, weights: dict, memory: dict, seconds: float
) -> dict:
    """Read the bag back and write its pictures. :return: what ``results.json`` gets."""
    from policies.pipeline.recording import counts_of, draw, episodes_of, told
    from samg_ros.machine import machine

    bag, sheet, video = folder / "bag", folder / "contact_sheet.png", folder / "episode.mp4"
    episodes = [told(number, record) for number, record in enumerate(episodes_of(bag))]
    draw(bag, sheet, video)
    successes = [e["success"] for e in episodes if e["success"] is not None]
    return {
        "config": asdict(config),
        "episodes": episodes,
        "successes": sum(successes) if successes else None,
        "mean_iou": sum(e["mean_iou"] for e in episodes) / len(episodes),
        "seconds": round(seconds, 1),
        "peak_memory_mb": memory,
        "weights": weights,
        "messages": counts_of(bag),
        "machine": machine(),
        "files": {"bag": str(bag), "contact_sheet": str(sheet), "video": str(video)},
    }


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
