"""What a wheel of this tree holds, for pip and for ROS."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
NODES = {"bridge_node", "masker_node", "policy_node", "recorder_node"}
TOPS = ("samg_ros", "sim_bridge", "policies", "launch")
EXECUTABLE = 0o111
BUILT = (".*", "build", "install", "log", "runs", "*.egg-info", "__pycache__")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The contents of the wheel: path within it to file mode."""
    folder = tmp_path_factory.mktemp("wheel")
    # From a copy: a build leaves build/ and egg-info behind.
    tree = shutil.copytree(
        ROOT, folder / "tree", symlinks=True, ignore=shutil.ignore_patterns(*BUILT)
    )
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q"]
    subprocess.run([*command, "--wheel-dir", folder, tree], check=True, cwd=folder)
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return {item.filename: item.external_attr >> 16 for item in archive.infolist()}


@pytest.fixture(scope="module")
def data(wheel):
    """What lands under the prefix."""
    found = {}
    for path, mode in wheel.items():
        _, is_data, under_prefix = path.partition(".data/data/")
        if is_data:
            found[under_prefix] = mode
    return found


def names_in(paths, folder: str) -> set[str]:
    return {Path(path).name for path in paths if str(Path(path).parent) == folder}


def names_on_disk(folder: Path, pattern: str = "*") -> set[str]:
    return {path.name for path in folder.glob(pattern) if path.is_file()}


def test_nodes_are_where_ros_looks_and_executable(data):
    assert names_in(data, "lib/samg_ros") == NODES
    for node in NODES:
        assert data[f"lib/samg_ros/{node}"] & EXECUTABLE == EXECUTABLE


def test_the_package_is_in_the_ament_index(data):
    assert names_in(data, "share/ament_index/resource_index/packages") == {"samg_ros"}
    assert "package.xml" in names_in(data, "share/samg_ros")


@pytest.mark.parametrize("folder", ["launch", "config"])
def test_share_has_all_of(data, folder):
    assert names_in(data, f"share/samg_ros/{folder}") == names_on_disk(ROOT / folder)


@pytest.mark.parametrize(
    ("folder", "pattern"),
    [
        ("samg_ros/masking/references", "*.npz"),
        ("policies/checkpoints", "*.safetensors"),
        ("samg_ros", "py.typed"),
        ("sim_bridge", "py.typed"),
        ("policies", "py.typed"),
    ],
)
def test_data_that_the_packages_need_comes_along(wheel, folder, pattern):
    wanted = names_on_disk(ROOT / folder, pattern)
    assert wanted
    assert wanted <= names_in(wheel, folder)


def test_only_our_packages_are_installed(wheel):
    tops = {path.split("/")[0] for path in wheel if not path.startswith("samg_ros-")}
    assert tops == {"samg_ros", "sim_bridge", "policies"}


def test_package_xml_names_every_ros_package_that_is_imported():
    packages = re.compile(
        r"^\s*(?:from|import) (\w+(?:_msgs|_srvs|_interfaces)|rclpy|launch_ros)\b", re.M
    )
    sources = [path for top in TOPS for path in (ROOT / top).rglob("*.py")]
    imported = {name for path in sources for name in packages.findall(path.read_text())}
    told = {depend.text for depend in ElementTree.parse(ROOT / "package.xml").iter("exec_depend")}
    assert imported >= {"rclpy", "sensor_msgs", "std_srvs"}
    assert imported <= told


def test_the_command_is_an_entry_point():
    setup = (ROOT / "setup.py").read_text()
    assert '"samg = samg_ros.cli:main"' in setup
