"""The pages hold what the code does: tables, parameters, commands, Python blocks, links."""

from __future__ import annotations

import ast
import contextlib
import io
import re
import shlex
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from docs.tables import NODES, declared, generated, pages
from samg_ros.cli import COMMANDS, found, main
from samg_ros.errors import WeightsError
from samg_ros.parameters import parameters_of

ROOT = Path(__file__).parents[1]
# The page of the API is made of docstrings; results and worlds are made by commands.
MADE = ("api.md", "results.md", "worlds.md")
PAGES = {str(path.relative_to(ROOT)): path.read_text() for path in pages()}
WRITTEN = {name: text for name, text in PAGES.items() if Path(name).name not in MADE}
FENCED = re.compile(r"^```(\w*)( slow)?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")

# Each node: the sources that make its topics.
SOURCES = {
    "bridge": ("sim_bridge/bridge/node.py", "sim_bridge/bridge/output.py"),
    "masker": ("samg_ros/nodes/masker_camera.py",),
    "policy": (
        "policies/node/policy_node.py",
        "policies/node/supervision.py",
        "samg_ros/ros/joints.py",
    ),
    "recorder": ("samg_ros/nodes/recorder_node.py",),
}
CALLS = {"create_subscription": "in", "create_publisher": "out", "create_service": "service"}
# What a variable in a topic's f-string stands for.
PLACES = {"camera": "[CAMERA/]"}


# What is generated


@pytest.mark.parametrize(
    ("path", "text"), [pytest.param(*made, id=made[0].name) for made in generated()]
)
def test_what_is_generated_is_up_to_date(path: Path, text: str) -> None:
    assert path.read_text() == text, "run python -m docs.tables"


@pytest.mark.parametrize("node", NODES)
def test_a_parameter_file_says_the_defaults_to_ros(node: str) -> None:
    rclpy = pytest.importorskip("rclpy")
    from rclpy.node import Node

    from samg_ros.ros.parameters import declare

    path = ROOT / "config" / f"{node}.yaml"
    (told,) = (node["ros__parameters"] for node in yaml.safe_load(path.read_text()).values())
    assert list(told) == [parameter.name for parameter in declared(node)]
    context = rclpy.Context()
    rclpy.init(args=["--ros-args", "--params-file", str(path)], context=context)
    try:
        real = Node(node, namespace="robot", context=context, start_parameter_services=False)
        for config in configs(node):
            assert declare(real, config) == config()
        overridden = set(real._parameter_overrides)
        assert overridden >= set(told), "the file's values reach a node of this name"
        real.destroy_node()
    finally:
        rclpy.shutdown(context=context)


def configs(node: str) -> list[Any]:
    """The dataclasses of a node's parameters."""
    import importlib

    places = [name.rpartition(".") for name in NODES[node]]
    return [getattr(importlib.import_module(module), name) for module, _, name in places]


# Topics


def topic_rows(source: str) -> set[tuple[str, str, str, str]]:
    """(direction, name, type, QoS) of every topic and service that a source file makes.

    Calls whose topic is neither a literal nor made of :data:`PLACES` are left out (the recorder's,
    which takes any).
    """
    rows = set()
    for call in ast.walk(ast.parse(source)):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
            continue
        direction = CALLS.get(call.func.attr)
        name = None if direction is None else _topic(call.args[1])
        if direction is None or name is None:
            continue
        profile = "" if direction == "service" else ast.unparse(call.args[-1])
        rows.add((direction, name, ast.unparse(call.args[0]), profile.removeprefix("qos.")))
    return rows


def _topic(argument: ast.expr) -> str | None:
    """A topic's name, if the source tells it."""
    parts = argument.values if isinstance(argument, ast.JoinedStr) else [argument]
    texts = [p.value if isinstance(p, ast.FormattedValue) else p for p in parts]
    names = [
        PLACES.get(text.id) if isinstance(text, ast.Name) else getattr(text, "value", None)
        for text in texts
    ]
    return "".join(map(str, names)) if None not in names else None


def test_topics_are_read_out_of_a_source() -> None:
    source = """
node.create_publisher(Image, f"~/{camera}image", qos.IMAGE_OUT)
node.create_subscription(Image, "image", self._on_image, qos.CAMERA_IN)
node.create_subscription(Image, f"{anything}/image", self._on_image, qos.CAMERA_IN)
node.create_subscription(Image, topic, self._on_image, qos.CAMERA_IN)
"""
    assert topic_rows(source) == {
        ("out", "~/[CAMERA/]image", "Image", "IMAGE_OUT"),
        ("in", "image", "Image", "CAMERA_IN"),
    }


@pytest.mark.parametrize("node", NODES)
def test_a_node_s_page_has_its_topics(node: str) -> None:
    made = {row for source in SOURCES[node] for row in topic_rows((ROOT / source).read_text())}
    made.add(("out", "/diagnostics", "DiagnosticArray", "STATUS"))
    table = PAGES[f"docs/nodes/{node}.md"].split("## Topics", 1)[1].split("\n## ", 1)[0]
    rows = [[cell.strip(" `") for cell in row.split("|")[1:5]] for row in table.splitlines()]
    told = {tuple(row) for row in rows if row and row[0] in CALLS.values()}
    assert told - {("in", "any", "any", "matched")} == made


def test_every_profile_of_quality_of_service_is_explained() -> None:
    source = (ROOT / "samg_ros/ros/qos.py").read_text()
    profiles = re.findall(r"^(\w+) = _profile\(", source, re.MULTILINE)
    assert profiles == re.findall(r"^\| ([A-Z_]+) \|", PAGES["docs/nodes.md"], re.MULTILINE)


# Python blocks


class Block(NamedTuple):
    """``first``: its first line in the page."""

    code: str
    first: int
    slow: bool


def python_blocks(text: str) -> list[Block]:
    return [
        Block(found[3], text[: found.start(3)].count("\n") + 1, bool(found[2]))
        for found in FENCED.finditer(text)
        if found[1] == "python"
    ]


EXAMPLES = {name: blocks for name, text in PAGES.items() if (blocks := python_blocks(text))}


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.slow] * any(block.slow for block in blocks))
        for page, blocks in EXAMPLES.items()
    ],
)
def test_the_python_of_a_page_runs(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in EXAMPLES[page]:
        # Line numbers are the page's, for tracebacks.
        code = compile("\n" * (block.first - 1) + block.code, ROOT / page, "exec")
        try:
            exec(code, names)
        except WeightsError as error:
            pytest.skip(f"weights cannot be had here: {error}")


# Commands


def command_lines(text: str) -> list[str]:
    """Every ``samg ...`` in a page's code: indented or fenced blocks, and inline."""
    fenced = [block[3] for block in FENCED.finditer(text) if block[1] in ("", "bash", "sh")]
    indented = [line[4:] for line in text.splitlines() if line.startswith("    ")]
    code = "\n".join([*fenced, *indented]).replace("\\\n", " ")
    code = re.sub(r" +#.*", "", code)
    lines = [*code.splitlines(), *INLINE.findall(FENCED.sub("", text))]
    commands = (re.match(r"\s*(?:\w+=\S+ )*(?:\.venv/bin/)?(samg\s.*)", line) for line in lines)
    return [found[1].strip() for found in commands if found]


COMMAND_LINES = sorted({(page, c) for page, text in WRITTEN.items() for c in command_lines(text)})


@lru_cache
def help_of(command: tuple[str, ...]) -> str:
    """What ``samg COMMAND --help`` prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main([*command, "--help"])
    return re.sub(r"\x1b\[[\d;]*m", "", out.getvalue())


def command_of(words: list[str]) -> tuple[str, ...]:
    """The command and its verbs, without what they are given.

    :raises KeyError: there is no such command, or verb of a command that has some.
    """
    if not words or words[0].startswith("-") or not words[0].islower():
        return ()
    command = words[0]
    found(COMMANDS)[command]
    verbs = {"weights": ("list", "fetch", "verify", "where")}.get(command, ())
    verbs = verbs or {"train": ("teacher", "student", "drqv2")}.get(command, ())
    verbs = verbs or {"eval": ("report",)}.get(command, ())
    verbs = verbs or tuple(found(f"samg.{command}"))
    if command == "node":
        verbs = tuple(NODES)
    given = words[1] if len(words) > 1 else ""
    if given in verbs:
        return command, given
    if verbs and given and given.islower() and command != "eval":
        raise KeyError(f"samg {command} has no {given!r}")
    return (command,)


@pytest.mark.parametrize(("page", "line"), COMMAND_LINES)
def test_a_command_of_a_page_exists_with_its_flags(
    page: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    words = shlex.split(line)[1:]
    command = command_of(words)
    if command[:1] == ("node",):
        _check_ros_arguments(command[1:], words)
        return
    text = help_of(command)
    for word in words[len(command) :]:
        if word.startswith("--") and word != "--help":
            flag = word.partition("=")[0]
            assert re.search(rf"{re.escape(flag)}\b(?!-)", text), f"{command} has no {flag}"


# Of other programs.
FOREIGN = ("--ros-args", "--params-file", "--show-args", "--help")


@pytest.mark.parametrize("page", WRITTEN)
def test_every_flag_that_a_page_names_exists(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    known = "\n".join(help_of(command) for command in every_command())
    for inline in INLINE.findall(FENCED.sub("", WRITTEN[page])):
        for flag in re.findall(r"(?<![\w-])--[a-z][\w.-]*", inline):
            is_known = flag in FOREIGN or re.search(rf"{re.escape(flag)}(?![\w-])", known)
            assert is_known, f"no command has {flag}"


def every_command() -> list[tuple[str, ...]]:
    """Commands, and the verbs of those that have some."""
    commands = [(name,) for name in found(COMMANDS)]
    verbs = [(name, verb) for name in found(COMMANDS) for verb in found(f"samg.{name}")]
    trainings = [("train", kind) for kind in ("teacher", "student", "drqv2")]
    return [*commands, *verbs, *trainings, ("eval", "report")]


def _check_ros_arguments(node: tuple[str, ...], words: list[str]) -> None:
    """What ``-p`` sets is a parameter of the node."""
    known = [parameter.name for name in node for parameter in declared(name)]
    given = [after for word, after in pairwise(words) if word == "-p"]
    for setting in given:
        assert setting.partition(":=")[0] in known


@pytest.mark.parametrize("page", WRITTEN)
def test_launch_files_take_the_arguments_of_a_page(page: str) -> None:
    text = WRITTEN[page].replace("\\\n", " ")
    for file, rest in re.findall(r"ros2 launch samg_ros (\S+)([^\n#`]*)", text):
        source = (ROOT / "launch" / file).read_text()
        common = (ROOT / "samg_ros/nodes/launching.py").read_text()
        for name in re.findall(r"(\w+):=", rest):
            assert f'"{name}"' in source + common, f"{file} has no argument {name}"


def test_the_page_of_installation_names_every_extra() -> None:
    text = (ROOT / "setup.py").read_text()
    table = text[text.index("EXTRAS = {") : text.index("def files")]
    extras = re.findall(r'^    "(\w+)": |^EXTRAS\["(\w+)"\]', table, re.MULTILINE)
    rows = re.findall(r"^\| (`.*?) \|", PAGES["docs/install.md"], re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert {first or second for first, second in extras} == told


# Links and files


def anchors(text: str) -> set[str]:
    """The headings of a page as links name them."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", [*PAGES, "CHANGELOG.md", "docs/api.md"])
def test_links_lead_somewhere(page: str) -> None:
    path = ROOT / page
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", path.read_text())):
        if re.match(r"https?:|mailto:", target):
            continue
        file, _, anchor = target.partition("#")
        to = (path.parent / file).resolve() if file else path
        assert to.exists(), f"{page} links to {target}"
        assert not anchor or anchor in anchors(to.read_text()), f"{page} links to {target}"


FILE = re.compile(r"(?<![\w/.-])((?:[\w.-]+/)+[\w.-]+\.(?:py|md|ya?ml|xml|json|sh|toml|txt))\b")
ROOMS = ("samg_ros", "sim_bridge", "policies", "launch", "tests", "docs", "config", "scripts")


@pytest.mark.parametrize("page", WRITTEN)
def test_files_that_a_page_names_exist(page: str) -> None:
    text = "\n".join(INLINE.findall(FENCED.sub("", WRITTEN[page])))
    named = [file for file in FILE.findall(text) if file.split("/")[0] in ROOMS]
    assert [file for file in named if not (ROOT / file).exists()] == []
    rooms = re.findall(rf"(?<![\w/.])((?:{'|'.join(ROOMS)})/(?:\w+/)*)(?![\w.*<])", text)
    assert [room for room in rooms if not (ROOT / room).is_dir()] == []


def test_every_parameter_has_a_description() -> None:
    for node in NODES:
        for config in configs(node):
            assert all(parameter.help for parameter in parameters_of(config))


def test_the_walk_of_a_frame_names_what_is_there() -> None:
    rows = re.findall(r"^\| `(\S+\.py)` \| `(\w+)` \|", WRITTEN["docs/architecture.md"], re.M)
    assert len(rows) > 10
    for file, name in rows:
        assert re.search(rf"(def|class) {name}\b", (ROOT / file).read_text()), f"{file}: {name}"


def test_every_room_of_the_house_is_on_the_map() -> None:
    rooms = {
        f"{path.parent.relative_to(ROOT)}/"
        for top in ("samg_ros", "sim_bridge", "policies")
        for path in (ROOT / top).glob("*/__init__.py")
    }
    told = set(re.findall(r"^\| \*{0,2}`(\w+/\w+/)`", WRITTEN["docs/architecture.md"], re.M))
    assert {room for room in rooms if not room.endswith("/cli/")} <= told
