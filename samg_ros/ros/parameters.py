"""ROS parameters from the dataclasses that declare them (:mod:`samg_ros.parameters`)."""

from __future__ import annotations

from typing import TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import (
    InvalidParameterException,
    InvalidParameterTypeException,
    InvalidParameterValueException,
)
from rclpy.node import Node

from samg_ros.errors import ConfigError
from samg_ros.parameters import Parameter, parameters_of

Config = TypeVar("Config")

_REFUSED = (
    InvalidParameterException,
    InvalidParameterTypeException,
    InvalidParameterValueException,
    TypeError,
)


def declare(node: Node, config: type[Config]) -> Config:
    """Declare every parameter of a dataclass on ``node`` and return it filled.

    :raises ConfigError: a value given from outside has the wrong type or is out of range.
    """
    values = {}
    for parameter in parameters_of(config):
        is_list = isinstance(parameter.default, list)
        # rclpy takes an empty list for one of bytes: an empty text stands in, and is dropped.
        default = (parameter.default or [""]) if is_list else parameter.default
        try:
            declared = node.declare_parameter(parameter.name, default, _descriptor(parameter))
        except _REFUSED as error:
            raise ConfigError(f"parameter {parameter.name}: {error}") from error
        value = (declared.value or []) if is_list else declared.value
        values[parameter.name] = [item for item in value if item != ""] if is_list else value
    return config(**values)


def _descriptor(parameter: Parameter) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(
        description=parameter.describe(), read_only=not parameter.runtime
    )
    if parameter.choices:
        descriptor.additional_constraints = "one of: " + ", ".join(parameter.choices)
    if parameter.low is None or parameter.high is None:
        return descriptor
    if isinstance(parameter.default, int):
        descriptor.integer_range = [
            IntegerRange(from_value=int(parameter.low), to_value=int(parameter.high), step=1)
        ]
    else:
        descriptor.floating_point_range = [
            FloatingPointRange(from_value=float(parameter.low), to_value=float(parameter.high))
        ]
    return descriptor
