"""Launch files: what they declare and start. Without ROS 2 launch, only what can be read."""

import ast
import re
import runpy
from pathlib import Path

import pytest

from policies.node.policy_config import PolicyNodeConfig
from samg_ros.masking.config import MaskerConfig
from samg_ros.nodes.config import MaskerNodeConfig, RecorderConfig
from samg_ros.parameters import parameters_of
from sim_bridge.bridge.config import BridgeConfig

ROOT = Path(__file__).parents[2]
COMMON = {"params_file", "log_level"}
RECORDING = {"record", "bag"}
SIM = {"task", "perturb", "mask", "mode", "seed", "device", "policy"}
CAMERA = {
    "image_topic",
    "cameras",
    "reference",
    "on_lost",
    "device",
    "policy",
    "task",
    "joint_states",
    "joint_command",
    "crop",
}
ARGUMENTS = {
    "sim": SIM | RECORDING | COMMON,
    "camera": CAMERA | RECORDING | COMMON,
    "record": {"topics", "bag", "compression"} | COMMON,
}


def path_of(name: str) -> Path:
    return ROOT / "launch" / f"{name}.launch.py"


def installed_nodes() -> set[str]:
    """The executables that setup.py puts where ROS looks for them."""
    for statement in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(statement, ast.Assign) and statement.targets[0].id == "NODES":
            return set(ast.literal_eval(statement.value))
    raise AssertionError("setup.py has no NODES")


def test_every_launch_file_is_listed_here():
    assert {path.name for path in (ROOT / "launch").iterdir() if path.is_file()} == {
        path_of(name).name for name in ARGUMENTS
    }


@pytest.mark.parametrize("path", [*map(path_of, ARGUMENTS), ROOT / "samg_ros/nodes/launching.py"])
def test_only_installed_nodes_are_named(path):
    source = path.read_text()
    compile(source, path, "exec")
    texts = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
    named = {text for text in texts if re.fullmatch(r"\w+_node", str(text))}
    assert named
    assert named <= installed_nodes()


@pytest.mark.parametrize("name", sorted(installed_nodes()))
def test_every_installed_node_starts_a_module_that_is_there(name):
    assert (ROOT / "resource" / "bin" / name).stat().st_mode & 0o111
    script = (ROOT / "resource" / "bin" / name).read_text()
    named = dict(re.findall(r"(\w+_node|\*)\) module=(\S+) ;;", script))
    module = named.get(name, named["*"]).replace("$name", name)
    assert (ROOT / module.replace(".", "/")).with_suffix(".py").is_file()


@pytest.fixture
def launch():
    # Not "launch": this repository's folder of that name would do as a namespace package.
    pytest.importorskip("launch_ros.actions", reason="ROS 2 launch is not installed here")
    import launch

    return launch


def describe(name: str):
    return runpy.run_path(str(path_of(name)))["generate_launch_description"]()


def declared(name: str) -> dict:
    return {argument.name: argument for argument in describe(name).get_launch_arguments()}


def started(launch, name: str, **given: str) -> list[str]:
    """The executables that a launch file starts with these arguments."""
    context = launch.LaunchContext()
    context.launch_configurations.update(given)
    nodes = []
    for entity in describe(name).entities:
        nodes += entity.visit(context) or []
    running = [n for n in nodes if n.condition is None or n.condition.evaluate(context)]
    return [node.node_executable for node in running]


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_are_declared_and_described(launch, name):
    arguments = declared(name)
    assert set(arguments) == ARGUMENTS[name]
    assert all(argument.description for argument in arguments.values())


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("sim", BridgeConfig),
        ("sim", MaskerConfig),
        ("sim", RecorderConfig),
        ("camera", MaskerNodeConfig),
        ("record", RecorderConfig),
    ],
)
def test_defaults_are_the_dataclasses(launch, name, config):
    arguments = declared(name)
    # Lists are written as one text in launch arguments; it is empty by default.
    shared = [p for p in parameters_of(config) if p.name in arguments and p.type != list[str]]
    assert shared
    for parameter in shared:
        default = arguments[parameter.name].default_value
        if parameter.name == "reference":
            assert default is None
        else:
            assert default[0].text == str(parameter.default)


def test_both_policies_of_the_simulation_are_one_task(launch):
    defaults = {p.name: p.default for p in parameters_of(PolicyNodeConfig)}
    assert declared("sim")["task"].default_value[0].text == defaults["task"]


def test_what_is_started(launch):
    loop = ["bridge_node", "masker_node", "policy_node"]
    assert started(launch, "sim") == loop
    assert started(launch, "sim", record="true") == [*loop, "recorder_node"]
    assert started(launch, "camera", reference="r.npz") == ["masker_node"]
    assert started(launch, "camera", reference="r.npz", policy="student", record="true") == [
        "masker_node",
        "policy_node",
        "recorder_node",
    ]
    assert started(launch, "record", topics="/a, /b") == ["recorder_node"]


def test_several_cameras(launch):
    context = launch.LaunchContext()
    context.launch_configurations.update(cameras="left, on", reference="7 cup.npz")
    given = runpy.run_path(str(path_of("camera")))["references"](context, ["left", "on"])
    values = {name: value.evaluate(context) for name, value in given.items()}
    # Texts all of them: YAML would make a boolean of the one and a number of the other.
    assert values == {"cameras": ["left", "on"], "references": ["7", "cup.npz"]}
    assert started(launch, "camera", cameras="left on", reference="7") == ["masker_node"]


def test_a_camera_needs_a_reference(launch):
    with pytest.raises(RuntimeError, match="reference"):
        started(launch, "camera")
