"""A simulated task in the loop: bridge, masker and policy, and a recorder if asked for."""

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription
from policies.node.policy_config import FRAME_LEAD_S, PolicyNodeConfig
from samg_ros.masking.config import MaskerConfig
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
from sim_bridge.bridge.config import BridgeConfig

# What this file calls the sources of masks, and what the masker calls them.
MASKS = {"samg": "samg", "oracle": "topic", "none": "none"}
# The first frame waits while the masker loads its weights, and the first time fetches them. The
# bridge need not lose patience: if a node dies, everything is stopped.
COMMAND_TIMEOUT_S = 900.0


def generate_launch_description() -> LaunchDescription:
    mask = DeclareLaunchArgument(
        "mask",
        default_value="samg",
        choices=list(MASKS),
        description="where masks come from: the method, the simulator's truth, or no masking",
    )
    return LaunchDescription(
        [
            argument(BridgeConfig, "task"),
            argument(BridgeConfig, "perturb"),
            mask,
            argument(BridgeConfig, "mode"),
            argument(BridgeConfig, "seed"),
            argument(MaskerConfig, "device"),
            argument(PolicyNodeConfig, "policy"),
            *recording_arguments(),
            *common_arguments(),
            OpaqueFunction(function=nodes),
        ]
    )


def nodes(context: LaunchContext) -> list[Node]:
    mask_source = MASKS[context.launch_configurations["mask"]]
    task = values(BridgeConfig, "task")
    return [
        node(
            context,
            "bridge_node",
            task
            | values(BridgeConfig, "perturb", "mode", "seed")
            | {"command_timeout_s": COMMAND_TIMEOUT_S},
            on_exit=required,
        ),
        node(
            context,
            "masker_node",
            # The references that ship are called after their tasks.
            {"reference": task["task"], "mask_source": mask_source}
            | values(MaskerConfig, "device"),
            remappings=[("image", "image_raw"), ("mask_in", "bridge/mask_truth")],
            on_exit=required,
        ),
        node(
            context,
            "policy_node",
            task
            | values(PolicyNodeConfig, "policy")
            | {"use_sim_time": True, "max_frame_lead_s": FRAME_LEAD_S},
            remappings=[("image", "masker/image")],
            on_exit=required,
        ),
        recorder(context, condition=if_recording()),
    ]
