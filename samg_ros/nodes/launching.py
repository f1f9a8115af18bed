"""What the launch files share: arguments from the parameters' dataclasses, and the nodes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from launch.actions import DeclareLaunchArgument
from launch.conditions import IfCondition
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchContext
from samg_ros.errors import SamgError
from samg_ros.nodes.config import RecorderConfig
from samg_ros.parameters import Parameter, parameters_of
from samg_ros.ros.environment import END_WITH, dds_environment

PACKAGE = "samg_ros"
LOG_LEVELS = ["debug", "info", "warn", "error", "fatal"]
# Between SIGINT and SIGTERM. Launch's own 5 s can be too short to finish a bag or a warm-up.
STOP_S = 15


def argument(config: type, name: str, **changes: Any) -> DeclareLaunchArgument:
    """A launch argument for one parameter of a dataclass.

    :param changes: what is different here, as for :class:`DeclareLaunchArgument`;
        ``default_value=None`` makes it required.
    """
    parameter = _find(config, name)
    about = {
        "default_value": str(parameter.default),
        "description": replace(parameter, choices=()).describe(),
        "choices": list(parameter.choices) or None,
    }
    return DeclareLaunchArgument(name, **{**about, **changes})


def values(config: type, *names: str) -> dict[str, ParameterValue]:
    """The named launch arguments as node parameters, each of the type that its dataclass says.

    Without the type, launch would read them as YAML and make a number of a file called ``7``.
    """
    return {
        name: ParameterValue(LaunchConfiguration(name), value_type=_find(config, name).type)
        for name in names
    }


def common_arguments() -> list[DeclareLaunchArgument]:
    """Arguments of every launch file."""
    return [
        DeclareLaunchArgument(
            "params_file",
            default_value="",
            description="YAML file with any further parameters of the nodes",
        ),
        DeclareLaunchArgument(
            "log_level",
            default_value="info",
            choices=LOG_LEVELS,
            description="lowest severity that the nodes log",
        ),
    ]


def recording_arguments() -> list[DeclareLaunchArgument]:
    """Arguments of the launch files that can record what happens."""
    return [
        DeclareLaunchArgument(
            "record",
            default_value="false",
            choices=["true", "false"],
            description="record every topic into a bag",
        ),
        argument(RecorderConfig, "bag"),
    ]


def node(
    context: LaunchContext,
    executable: str,
    parameters: dict[str, Any],
    remappings: Sequence[tuple[str, str]] = (),
    **more: Any,
) -> Node:
    """One of this package's nodes, with what all of them are given."""
    params_file = context.launch_configurations["params_file"]
    return Node(
        package=PACKAGE,
        executable=executable,
        parameters=[parameters, *([params_file] if params_file else [])],
        remappings=list(remappings),
        ros_arguments=["--log-level", LaunchConfiguration("log_level")],
        # The nodes end, and a robot is held, though the launch be killed.
        additional_env={**dds_environment(), END_WITH: str(os.getpid())},
        output="screen",
        sigterm_timeout=str(STOP_S),
        **more,
    )


def recorder(context: LaunchContext, **more: Any) -> Node:
    """A recorder of every topic; without it the robot goes on."""
    return node(context, "recorder_node", values(RecorderConfig, "bag"), **more)


def if_recording() -> IfCondition:
    """The condition under which :func:`recording_arguments` ask for a recorder."""
    return IfCondition(LaunchConfiguration("record"))


def required(event: ProcessExited, context: LaunchContext) -> None:
    """``on_exit`` of a node without which the others are useless: everything stops.

    :raises SamgError: always, unless everything is being stopped anyway. Unlike the action
        ``Shutdown``, an error gives ``ros2 launch`` an exit status that says so.
    """
    if not context.is_shutdown:
        raise SamgError(
            f"{event.process_name} ended with status {event.returncode}, so everything is "
            "stopped; its last lines say why"
        )


def _find(config: type, name: str) -> Parameter:
    return next(p for p in parameters_of(config) if p.name == name)
