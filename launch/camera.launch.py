"""Real cameras: masker, a policy if one is named, and a recorder if asked for."""

import re

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchContext, LaunchDescription
from policies.node.policy_config import PolicyNodeConfig
from samg_ros.masking.config import MaskerConfig
from samg_ros.nodes.config import MaskerNodeConfig
from samg_ros.nodes.launching import (
    argument,
    common_arguments,
    if_recording,
    node,
    recorder,
    recording_arguments,
    required,
    values,
)

# What keeps a real arm safe, besides the policy's own limits.
SAFETY = (
    "output",
    "urdf",
    "range_share",
    "max_rate",
    "max_acceleration",
    "hold_at",
    "heartbeat_timeout_s",
)


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [
            topic("image_topic", "image_raw", "the camera's images; of several, below each name"),
            DeclareLaunchArgument(
                "cameras",
                default_value="",
                description="names of several cameras, with commas or spaces between; a policy "
                "sees the first; empty: a single one",
            ),
            argument(
                MaskerNodeConfig,
                "reference",
                default_value=None,
                description="reference .npz, or the name of a task whose reference ships; for "
                "several cameras one for each, with commas or spaces between, or one for all",
            ),
            argument(MaskerNodeConfig, "on_lost"),
            argument(MaskerConfig, "device"),
            # A robot moves only where a policy is asked for by name.
            argument(
                PolicyNodeConfig,
                "policy",
                default_value="",
                description="path of a checkpoint, or a registered policy; empty: no policy node",
            ),
            argument(PolicyNodeConfig, "task"),
            argument(PolicyNodeConfig, "crop"),
            # A real arm moves only after an operator has said so: ~/enable.
            argument(PolicyNodeConfig, "start_enabled", default_value="false"),
            *[argument(PolicyNodeConfig, name) for name in SAFETY],
            topic("joint_states", "joint_states", "the robot's joint states, for the policy"),
            topic("joint_command", "joint_command", "where the policy's commands go"),
            *recording_arguments(),
            *common_arguments(),
            OpaqueFunction(function=nodes),
        ]
    )


def topic(name: str, default: str, description: str) -> DeclareLaunchArgument:
    return DeclareLaunchArgument(name, default_value=default, description=f"topic: {description}")


def nodes(context: LaunchContext) -> list[Node]:
    cameras = listed(context, "cameras")
    masker = node(
        context,
        "masker_node",
        references(context, cameras)
        | values(MaskerNodeConfig, "on_lost")
        | values(MaskerConfig, "device"),
        remappings=[
            (f"{place}image", [place, LaunchConfiguration("image_topic")])
            for place in [f"{camera}/" for camera in cameras] or [""]
        ],
        on_exit=required,
    )
    policy = node(
        context,
        "policy_node",
        values(PolicyNodeConfig, "task", "policy", "crop", "start_enabled", *SAFETY),
        remappings=[
            ("image", "/".join(["masker", *cameras[:1], "image"])),
            ("joint_states", LaunchConfiguration("joint_states")),
            ("joint_command", LaunchConfiguration("joint_command")),
        ],
        on_exit=required,
    )
    has_policy = bool(context.launch_configurations["policy"])
    recording = recorder(context, condition=if_recording())
    return [masker, policy, recording] if has_policy else [masker, recording]


def references(context: LaunchContext, cameras: list[str]) -> dict[str, ParameterValue]:
    """The masker's parameters that say what is sought where."""
    if not cameras:
        return values(MaskerNodeConfig, "reference")
    # Without the type, launch would read them as YAML and make a boolean of a camera called "on".
    given = {"cameras": cameras, "references": listed(context, "reference")}
    return {name: ParameterValue(items, value_type=list[str]) for name, items in given.items()}


def listed(context: LaunchContext, name: str) -> list[str]:
    """The items of a launch argument."""
    return re.findall(r"[^\s,]+", context.launch_configurations[name])
