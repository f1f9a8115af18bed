"""The ``samg`` command: one module a subcommand, imported only when it is called."""

from __future__ import annotations

import importlib
import sys

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("samg_ros.cli.demo", "run the whole loop: bridge, masker, policy, recorder"),
    "node": ("samg_ros.cli.node", "run one node: bridge, masker, policy or recorder"),
    "weights": ("samg_ros.cli.weights", "list, fetch, verify and locate checkpoints"),
    "models": ("samg_ros.cli.models", "list the models: size, memory, licence, weights"),
    "reference": ("samg_ros.cli.reference", "make a reference (image, masks, points)"),
    "mask": ("samg_ros.cli.mask", "mask pictures, a video, or a bag's image topic"),
    "bench": ("samg_ros.cli.bench", "measure masks against the simulator's own"),
    "eval": ("samg_ros.cli.eval", "evaluate policies over tasks, masks and visual changes"),
    "sim": ("samg_ros.cli.sim", "list and preview the simulated tasks and their looks"),
    "policies": ("samg_ros.cli.policies", "list the policies that ship, and their scores"),
    "train": ("samg_ros.cli.train", "train a state teacher or a masked-image student"),
}


def usage() -> str:
    """The list of subcommands."""
    lines = ["usage: samg COMMAND [options]     (samg COMMAND --help tells more)", ""]
    lines += [f"  {name:<10} {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand; its module's ``main(argv) -> int`` gives the exit status."""
    from samg_ros.errors import SamgError

    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        print(usage())
        return 0 if argv else 2
    if argv[0] not in COMMANDS:
        print(f"samg: unknown command {argv[0]!r}\n\n{usage()}", file=sys.stderr)
        return 2
    try:
        return importlib.import_module(COMMANDS[argv[0]][0]).main(argv[1:])
    except SamgError as error:
        print(f"samg {argv[0]}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
