"""Parameters declared once, in a dataclass: the source of ROS descriptors, flags and tables."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, TypeVar, get_type_hints

from samg_ros.errors import ConfigError, quoted

T = TypeVar("T")
_KEY = "samg_parameter"
_TYPES: dict[Any, type] = {int: Integral, float: Real, str: str, bool: bool}
_NAMES = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


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
        """:raises ConfigError: ``value`` is of another type, out of range, or not a choice."""
        wanted = _TYPES.get(self.type)
        if wanted and (
            not isinstance(value, wanted) or (isinstance(value, bool) and self.type is not bool)
        ):
            raise ConfigError(f"{self.name} is {quoted(value)}; it must be {_NAMES[self.type]}")
        if self.choices and value not in self.choices:
            choices = ", ".join(self.choices)
            raise ConfigError(f"{self.name} is {value!r}; choose one of: {choices}")
        too_low = self.low is not None and not value >= self.low
        too_high = self.high is not None and not value <= self.high
        if too_low or too_high:
            bounds = f"within {_bound(self.low)} to {_bound(self.high)}"
            if self.high is None:
                bounds = f"at least {_bound(self.low)}"
            elif self.low is None:
                bounds = f"at most {_bound(self.high)}"
            told = f"{self.name} is {value}; it must be {bounds} {self.unit}"
            raise ConfigError(told.rstrip())


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
