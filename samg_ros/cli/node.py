"""``samg node``: run one node (bridge, masker, policy, recorder) where there is no ``ros2``."""

from __future__ import annotations

import os

from samg_ros.cli import found, usage
from samg_ros.errors import ConfigError

NODES = "samg.nodes"


def main(argv: list[str]) -> int:
    """``samg node NAME [--ros-args ...]``, with the DDS profile that large images need.

    :raises ConfigError: no such node, or ROS 2 is not installed.
    """
    nodes = found(NODES)
    if argv[:1] in (["-h"], ["--help"]):
        print(usage("samg node", nodes, "[--ros-args ...]"))
        return 0
    if not argv or argv[0] not in nodes:
        raise ConfigError(f"name a node: {', '.join(nodes)}; then, if need be, --ros-args ...")
    from samg_ros.ros.environment import dds_environment

    os.environ.update(dds_environment())
    try:
        run = nodes[argv[0]].load()
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{error.name} is not installed: pip install 'samg_ros[all]', or source ROS 2"
        ) from error
    return run(argv[1:])
