"""A real camera: masker, a policy if one is named, and a recorder if asked for."""

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription
from samg_ros.masking.config import MaskerConfig
from samg_ros.nodes.masker_config import MaskerNodeConfig
from samg_ros.nodes.policy_config import PolicyNodeConfig
from samg_ros.ros.launching import (
    argument,
    common_arguments,
    if_recording,
    node,
    recorder,
    recording_arguments,
    required,
    values,
)


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [
            topic("image_topic", "image_raw", "the camera's images"),
            argument(MaskerNodeConfig, "reference", default_value=None),
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
    masker = node(
        context,
        "masker_node",
        values(MaskerNodeConfig, "reference", "on_lost") | values(MaskerConfig, "device"),
        remappings=[("image", LaunchConfiguration("image_topic"))],
        on_exit=required,
    )
    policy = node(
        context,
        "policy_node",
        values(PolicyNodeConfig, "task", "policy"),
        remappings=[
            ("image", "masker/image"),
            ("joint_states", LaunchConfiguration("joint_states")),
            ("joint_command", LaunchConfiguration("joint_command")),
        ],
        on_exit=required,
    )
    has_policy = bool(context.launch_configurations["policy"])
    recording = recorder(context, condition=if_recording())
    return [masker, policy, recording] if has_policy else [masker, recording]
