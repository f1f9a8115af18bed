"""The house's one rule: launch -> policies -> sim_bridge -> samg_ros, and no circle anywhere."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = ("samg_ros", "sim_bridge", "policies", "launch")  # from the ground up
LONGEST = 400
Graph = Mapping[Hashable, set]


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_of(p): p for layer in LAYERS for p in sorted((ROOT / layer).rglob("*.py"))}


def imported(module: str) -> Iterator[str]:
    """The project's modules that a module imports anywhere in it, at its top or in a function."""
    for node in ast.walk(ast.parse(FILES[module].read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} has a relative import"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in FILES else str(node.module) for name in inner]
        else:
            continue
        # "launch" is also ROS 2's own package, which our launch files import.
        yield from (n for n in names if n in FILES and n != module)


GRAPH = {module: set(imported(module)) for module in FILES}


def circle(graph: Graph) -> list:
    """A circle of a graph; empty where it has none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_arrows_run_down(capsys: pytest.CaptureFixture) -> None:
    arrows: Counter[tuple[str, str]] = Counter()
    for module, others in GRAPH.items():
        for other in others:
            above, below = module.split(".")[0], other.split(".")[0]
            arrows[above, below] += 1
            assert LAYERS.index(above) >= LAYERS.index(below), f"{module} imports {other}"
    with capsys.disabled():
        crossing = {f"{a} -> {b}": n for (a, b), n in sorted(arrows.items()) if a != b}
        print(f"\nfiles: {len(FILES)}; arrows between packages: {crossing}")


def test_no_files_import_each_other_in_a_circle() -> None:
    assert circle(GRAPH) == []


def room(module: str) -> Path:
    """A module's folder; of a package's own files each, for its front door opens on its rooms."""
    path = FILES[module]
    return path if path.parent.parent == ROOT else path.parent


def test_no_folders_import_each_other_in_a_circle() -> None:
    folders: dict[Hashable, set] = {}
    for module, others in GRAPH.items():
        here = room(module)
        folders.setdefault(here, set()).update({room(other) for other in others} - {here})
    assert circle(folders) == []


def test_a_file_is_what_one_opens_for_one_idea() -> None:
    lines = {path: len(path.read_text().splitlines()) for path in FILES.values()}
    too_long = {str(p.relative_to(ROOT)): n for p, n in lines.items() if n > LONGEST}
    assert too_long == {}
    folders: dict[Path, list[int]] = {}
    for path, count in lines.items():
        if count:
            folders.setdefault(path.parent, []).append(count)
    sliced = {str(f.relative_to(ROOT)): median(n) for f, n in folders.items() if median(n) < 80}
    sliced.pop("policies/checkpoints", None)  # the place of the checkpoints, with one short file
    assert sliced == {}
