"""What is generated from the code: tables in the pages, parameter files, the page of the API.

``python -m docs.tables`` writes all of it; a test compares what is committed.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from samg_ros.errors import ConfigError
from samg_ros.parameters import Parameter, parameters_of

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"

# The dataclasses of each node's parameters.
NODES: dict[str, tuple[str, ...]] = {
    "bridge": ("sim_bridge.bridge.config.BridgeConfig",),
    "masker": (
        "samg_ros.nodes.config.MaskerNodeConfig",
        "samg_ros.masking.config.MaskerConfig",
    ),
    "policy": ("policies.node.policy_config.PolicyNodeConfig",),
    "recorder": ("samg_ros.nodes.config.RecorderConfig",),
}
PACKAGES = ("samg_ros", "sim_bridge", "policies")
MARK = re.compile(r"(<!-- begin ([\w ]+) -->\n)(.*?)(<!-- end \2 -->)", re.DOTALL)
WIDTH = 99


def declared(node: str) -> list[Parameter]:
    """A node's parameters, in their order."""
    found: list[Parameter] = []
    for config in NODES[node]:
        module, _, name = config.rpartition(".")
        found += parameters_of(getattr(importlib.import_module(module), name))
    return found


def parameters_table(node: str) -> str:
    """Markdown table of a node's parameters."""
    return "\n".join(
        ["| parameter | default | |", "| --- | --- | --- |", *map(_parameter_row, declared(node))]
    )


def environment_table() -> str:
    """Markdown table of an environment's options."""
    from sim_bridge.envs.env import EnvConfig

    rows = map(_parameter_row, parameters_of(EnvConfig))
    return "\n".join(["| option | default | |", "| --- | --- | --- |", *rows])


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
    from policies.eval.report.tables import markdown

    return markdown(headings(), [cells(scores) for scores in shipped_scores()])


def models_table() -> str:
    """Markdown table of the models: size, licence, and where their weights come from."""
    from samg_ros.weights.catalogue import CHECKPOINTS

    lines = [
        "| checkpoint | role | million numbers | input, px | licence | sources, in order |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for one in CHECKPOINTS.values():
        name = f"**`{one.name}`**" if one.default else f"`{one.name}`"
        size = f"{one.facts.parameters / 1e6:.1f} | {one.facts.input_size}"
        sources = ", ".join(f"{s.kind} `{s.variant}`" for s in one.sources)
        lines.append(f"| {name} | {one.role} | {size} | {one.licence} | {sources} |")
    return "\n".join(lines)


TABLES: dict[str, Callable[[], str]] = {
    "environment options": environment_table,
    "models": models_table,
    "perturbations": perturbations_table,
    "policies": policies_table,
    **{f"{node} parameters": lambda node=node: parameters_table(node) for node in NODES},
}


def fill(text: str) -> str:
    """Replace what stands between ``<!-- begin NAME -->`` and ``<!-- end NAME -->``.

    :raises ConfigError: there is no such table, or its end is missing.
    """
    for name in re.findall(r"<!-- begin ([\w ]+) -->", text):
        if name not in TABLES:
            raise ConfigError(f"no table {name!r}; there are: {', '.join(TABLES)}")
        if f"<!-- end {name} -->" not in text:
            raise ConfigError(f"the mark '<!-- end {name} -->' is missing")
    return MARK.sub(lambda mark: f"{mark[1]}{TABLES[mark[2]]()}\n{mark[4]}", text)


def parameter_file(node: str) -> str:
    """A YAML file with every parameter of a node at its default, for ``--params-file``."""
    lines = [
        f"# Every parameter of the node {node}, with its default: take what you change.",
        f"#     samg node {node} --ros-args --params-file config/{node}.yaml",
        "# Written by `python -m docs.tables`.",
        f"/**/{node}:",
        "  ros__parameters:",
    ]
    for parameter in declared(node):
        # ROS cannot read an empty list from a file; an empty text in it counts as nothing.
        value = parameter.default if parameter.default != [] else [""]
        lines += [f"    # {line}" for line in _wrapped(parameter.describe(), WIDTH - 6)]
        lines += [f"    {parameter.name}: {json.dumps(value)}"]
    return "\n".join(lines) + "\n"


def api_page() -> str:
    """The page of the public names: ``__all__`` of each package, from their docstrings."""
    blocks = [
        "# API",
        "Written by `python -m docs.tables` from the docstrings of the packages' public names.",
    ]
    for name in PACKAGES:
        package = importlib.import_module(name)
        blocks += [f"## `{name}`", _prose(inspect.getdoc(package) or "")]
        for public in getattr(package, "__all__", ()):
            blocks += _entry(package, public)
    return "\n\n".join(block for block in blocks if block) + "\n"


def generated() -> Iterator[tuple[Path, str]]:
    """Every file that is generated, or has tables that are, with what it ought to hold."""
    for page in pages():
        yield page, fill(page.read_text())
    for node in NODES:
        yield ROOT / "config" / f"{node}.yaml", parameter_file(node)
    yield DOCS / "api.md", api_page()


def pages() -> list[Path]:
    """README and the pages, but the one of the API."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
    return [path for path in found if path.is_file() and path.name != "api.md"]


def _parameter_row(parameter: Parameter) -> str:
    default = "" if parameter.default in ("", [], ()) else f"`{parameter.default}`"
    about = parameter.describe().replace("|", "\\|")
    return f"| `{parameter.name}` | {default} | {about} |"


def _wrapped(text: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width, break_long_words=False)


def _entry(package: ModuleType, name: str) -> list[str]:
    """A public name: a function, a class with its public methods, or a value."""
    value = getattr(package, name)
    if not (inspect.isclass(value) or inspect.isfunction(value)):
        return [] if name.startswith("__") else [f"### `{package.__name__}.{name}`", _shown(value)]
    title = f"### `{package.__name__}.{name}`"
    blocks = [title, _signature(name, value), _prose(inspect.getdoc(value) or "")]
    for method, function in vars(value).items() if inspect.isclass(value) else ():
        blocks += _method(name, method, function)
    return blocks


def _shown(value: Any) -> str:
    """A value, as code."""
    return f"`{value!r}`"


def _method(cls: str, name: str, value: Any) -> list[str]:
    documented = inspect.getdoc(value)
    if not documented or (name.startswith("_") and name != "__call__"):
        return []
    if isinstance(value, property):
        return [f"#### `{cls}.{name}`", _prose(documented)]
    function = getattr(value, "__func__", value)
    if not inspect.isfunction(function):
        return []
    return [f"#### `{cls}.{name}`", _signature(name, function), _prose(documented)]


def _signature(name: str, value: Any) -> str:
    try:
        signature = str(inspect.signature(value))
    except (TypeError, ValueError):
        return ""
    # Annotations are texts, which are shown in quotes; and addresses differ from run to run.
    signature = re.sub(r"(: |-> )'([^']*)'", r"\1\2", signature)
    signature = re.sub(r"<factory>|<[\w.]+ object at \w+>", "...", signature)
    return f"```\n{name}{signature}\n```"


def _prose(text: str) -> str:
    """A docstring as Markdown: roles become code, fields become a list."""
    text = re.sub(r":(?:class|func|meth|mod|data):`~?([^`]+)`", r"`\1`", text)
    text = text.replace("``", "`")
    # Fields begin a line, or stand one after the other on one.
    text = re.sub(r"\s*:(param|raises) ([\w, ]+):", r"\n- *\1* `\2`:", text)
    text = re.sub(r"\s*:return:", r"\n- *return*:", text)
    before, sep, fields = text.partition("\n- *")
    return f"{before.rstrip()}\n{sep}{fields}".strip()


def main() -> int:
    """Write everything that is generated."""
    for path, text in generated():
        if not path.is_file() or path.read_text() != text:
            path.write_text(text)
            print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
