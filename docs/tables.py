"""The README's tables, generated from the code: ``python docs/tables.py README.md``."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from pathlib import Path

from samg_ros.errors import ConfigError
from samg_ros.parameters import Parameter, parameters_of

ROOT = Path(__file__).resolve().parent.parent

# Each node: the sources that make its topics, and the dataclasses of its parameters.
NODES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "bridge": (
        ("sim_bridge/bridge/node.py", "sim_bridge/bridge/output.py"),
        ("sim_bridge.bridge.config.BridgeConfig",),
    ),
    "masker": (
        ("samg_ros/nodes/masker_camera.py",),
        (
            "samg_ros.nodes.masker_config.MaskerNodeConfig",
            "samg_ros.masking.config.MaskerConfig",
        ),
    ),
    "policy": (
        ("policies/node/policy_node.py", "samg_ros/ros/joints.py"),
        ("policies.node.policy_config.PolicyNodeConfig",),
    ),
    "recorder": (
        ("samg_ros/nodes/recorder_node.py",),
        ("samg_ros.nodes.recorder_config.RecorderConfig",),
    ),
}
CALLS = {
    "create_subscription": "in",
    "create_publisher": "out",
    "create_service": "service",
}
# What a variable in a topic's f-string stands for.
PLACES = {"camera": "[CAMERA/]"}


def topic_rows(source: str) -> list[tuple[str, str, str, str]]:
    """(direction, name, type, QoS) of every topic and service that a source file makes.

    Calls whose topic is neither a literal nor made of :data:`PLACES` are left out (the recorder's,
    which takes any).
    """
    rows = []
    for call in ast.walk(ast.parse(source)):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
            continue
        direction = CALLS.get(call.func.attr)
        name = None if direction is None else _topic(call.args[1])
        if direction is None or name is None:
            continue
        profile = "" if direction == "service" else ast.unparse(call.args[-1])
        rows.append((direction, name, ast.unparse(call.args[0]), profile.removeprefix("qos.")))
    return rows


def topics_table() -> str:
    """Markdown table of all nodes' topics and services."""
    lines = ["| node | | name | type | QoS |", "| --- | --- | --- | --- | --- |"]
    for node, (sources, _) in NODES.items():
        for source in sources:
            for direction, name, kind, profile in topic_rows((ROOT / source).read_text()):
                lines.append(f"| {node} | {direction} | `{name}` | {kind} | {profile} |")
    lines.append("| each | out | `/diagnostics` | DiagnosticArray | STATUS |")
    return "\n".join(lines)


def parameters_table() -> str:
    """Markdown tables of all nodes' parameters."""
    blocks = []
    for node, (_, configs) in NODES.items():
        lines = [f"**{node}**", "", "| parameter | default | |", "| --- | --- | --- |"]
        for config in configs:
            module, _, name = config.rpartition(".")
            declared = parameters_of(getattr(importlib.import_module(module), name))
            lines += [_parameter_row(parameter) for parameter in declared]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def perturbations_table() -> str:
    """Markdown table of the terms that change how a task looks."""
    from sim_bridge.perturbations.grammar import perturbations

    lines = ["| term | | for tasks with |", "| --- | --- | --- |"]
    for name in perturbations.names():
        kind = perturbations.get(name)
        term = f"{name}{kind.argument}".replace("|", "\\|")
        lines.append(f"| `{term}` | {kind.shows} | {kind.needs} |")
    return "\n".join(lines)


def policies_table() -> str:
    """Markdown table of the policies that ship."""
    from policies.cli.policies import cells, headings, shipped_scores
    from policies.eval.report.table import markdown

    return markdown(headings(), [cells(scores) for scores in shipped_scores()])


def fill(text: str) -> str:
    """Replace what stands between ``<!-- NAME -->`` and ``<!-- end NAME -->`` marks.

    :raises ConfigError: a mark is missing.
    """
    tables = {
        "perturbations": perturbations_table(),
        "topics": topics_table(),
        "parameters": parameters_table(),
        "policies": policies_table(),
    }
    for name, table in tables.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        if not pattern.search(text):
            raise ConfigError(f"no marks '<!-- {name} -->' ... '<!-- end {name} -->' to fill")
        text = pattern.sub(lambda found, table=table: f"{found[1]}{table}\n{found[2]}", text)
    return text


def _topic(argument: ast.expr) -> str | None:
    """A topic's name, if the source tells it."""
    parts = argument.values if isinstance(argument, ast.JoinedStr) else [argument]
    texts = [p.value if isinstance(p, ast.FormattedValue) else p for p in parts]
    names = [
        PLACES.get(text.id) if isinstance(text, ast.Name) else getattr(text, "value", None)
        for text in texts
    ]
    return "".join(map(str, names)) if None not in names else None


def _parameter_row(parameter: Parameter) -> str:
    default = "" if parameter.default in ("", []) else f"`{parameter.default}`"
    about = parameter.describe().replace("|", "\\|")
    return f"| `{parameter.name}` | {default} | {about} |"


def main(argv: list[str]) -> int:
    """Fill the tables of each file given."""
    for name in argv:
        path = Path(name)
        path.write_text(fill(path.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
