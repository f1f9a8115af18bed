"""Parameters declared once, in a dataclass: the source of ROS descriptors, flags and tables."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, TypeVar, get_type_hints

from samg_ros.errors import ConfigError

T = TypeVar("T")
_KEY = "samg_parameter"


@dataclass(frozen=True)
class Parameter:
    """What a parameter is. ``low`` and ``high`` are inclusive, in ``unit``.

    ``runtime``: a running node takes a new value; others are read once, at its start.
    """

    name: str
    type: Any
    default: Any
    help: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    runtime: bool = False

    def describe(self) -> str:
        """The help text with unit, range and choices, as shown to people."""
        notes = []
        if self.unit:
            notes.append(self.unit)
        if self.low is not None or self.high is not None:
            notes.append(f"{_bound(self.low)} to {_bound(self.high)}")
        if self.choices:
            notes.append(" | ".join(self.choices))
        return f"{self.help} ({'; '.join(notes)})" if notes else self.help

    def check(self, value: Any) -> None:
        """:raises ConfigError: ``value`` is out of range or not among the choices."""
        if self.choices and value not in self.choices:
            choices = ", ".join(self.choices)
            raise ConfigError(f"{self.name} is {value!r}; choose one of: {choices}")
        too_low = self.low is not None and not value >= self.low
        too_high = self.high is not None and not value <= self.high
        if too_low or too_high:
            bounds = f"{_bound(self.low)} to {_bound(self.high)}"
            raise ConfigError(f"{self.name} is {value}; it must be within {bounds} {self.unit}")


def parameter(default: Any, help: str, **about: Any) -> Any:
    """A dataclass field with its description; ``about`` is :class:`Parameter`'s other fields."""
    metadata = {_KEY: {"help": help, **about}}
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: list(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def parameters_of(config: type | Any) -> list[Parameter]:
    """The parameters of a dataclass (or of an instance's class), in order."""
    cls = config if isinstance(config, type) else type(config)
    hints = get_type_hints(cls)
    found = []
    for field in dataclasses.fields(cls):
        if _KEY not in field.metadata:
            continue
        has_factory = field.default_factory is not dataclasses.MISSING
        default = field.default_factory() if has_factory else field.default
        found.append(
            Parameter(
                name=field.name, type=hints[field.name], default=default, **field.metadata[_KEY]
            )
        )
    return found


def validate(config: Any) -> None:
    """Check every parameter of a dataclass instance; call it in ``__post_init__``.

    :raises ConfigError: the first one that is out of range.
    """
    for declared in parameters_of(config):
        declared.check(getattr(config, declared.name))


def documented(cls: type[T]) -> type[T]:
    """Class decorator: writes the parameters into the docstring, where tyro finds flags' help."""
    lines = [f":param {p.name}: {p.describe()}" for p in parameters_of(cls)]
    cls.__doc__ = (cls.__doc__ or "").rstrip() + "\n\n" + "\n".join(lines) + "\n"
    return cls


def _bound(value: float | None) -> str:
    return "any" if value is None else f"{value:.10g}"
