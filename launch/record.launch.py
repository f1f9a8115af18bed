"""A recorder alone, for topics that something else publishes."""

import re

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription
from samg_ros.nodes.config import RecorderConfig
from samg_ros.nodes.launching import argument, common_arguments, node, required, values


def generate_launch_description() -> LaunchDescription:
    topics = DeclareLaunchArgument(
        "topics",
        default_value="",
        description="topics to record, with commas or spaces between; empty: every topic",
    )
    return LaunchDescription(
        [
            topics,
            argument(RecorderConfig, "bag"),
            argument(RecorderConfig, "compression"),
            *common_arguments(),
            OpaqueFunction(function=nodes),
        ]
    )


def nodes(context: LaunchContext) -> list[Node]:
    topics = re.findall(r"[^\s,]+", context.launch_configurations["topics"])
    # Launch cannot write an empty list, which is the default anyway.
    chosen = {"topics": topics} if topics else {}
    parameters = values(RecorderConfig, "bag", "compression") | chosen
    return [node(context, "recorder_node", parameters, on_exit=required)]
