"""``samg node``: run one node where there is no ``ros2`` command."""

from __future__ import annotations

import importlib
import os

from samg_ros.errors import ConfigError

NODES = {
    "bridge": "sim_bridge.bridge_node",
    "masker": "samg_ros.nodes.masker_node",
    "policy": "samg_ros.nodes.policy_node",
    "recorder": "samg_ros.nodes.recorder_node",
}


def main(argv: list[str]) -> int:
    """``samg node NAME [--ros-args ...]``, with the DDS profile that large images need.

    :raises ConfigError: no such node, or ROS 2 is not installed.
    """
    if not argv or argv[0] not in NODES:
        raise ConfigError(f"name a node: {', '.join(NODES)}; then, if need be, --ros-args ...")
    from samg_ros.ros.environment import dds_environment

    os.environ.update(dds_environment())
    try:
        node = importlib.import_module(NODES[argv[0]])
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{error.name} is not installed: pip install 'samg_ros[all]', or source ROS 2"
        ) from error
    return node.main(argv[1:])
