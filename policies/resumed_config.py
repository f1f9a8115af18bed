"""What a run that is gone on with was told, and whether it can be."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from policies.checkpoint import build
from policies.run_folder import RunFolder
from samg_ros.errors import ConfigError

_ALWAYS_NEW = ("resume", "runs")


class Resumable(Protocol):
    """A training's configuration, a dataclass; ``resume`` is the folder of the run to go on with,
    None to begin one."""

    @property
    def resume(self) -> Path | None: ...


C = TypeVar("C", bound=Resumable)


def resumed_config(config: C, may_change: Collection[str] = ()) -> C:
    """``config``, or what the run that it resumes was told, less what ``config`` has anew.

    :param may_change: names of the options that a resumed run may be given anew; others that
        matter to a run have to be as they were, or left at their defaults.
    :raises ConfigError: they are not, or there is no run's folder.
    :raises CheckpointError: the folder's configuration is of another kind of training.
    """
    if config.resume is None:
        return config
    former = _stored(type(config), RunFolder.existing(config.resume))
    new: dict[str, Any] = {name: getattr(config, name) for name in _ALWAYS_NEW}
    for field in fields(config):  # type: ignore[arg-type]
        given, then = getattr(config, field.name), getattr(former, field.name)
        if field.name in new or given in (field.default, then):
            continue
        if field.name not in may_change:
            raise ConfigError(
                f"a run is resumed under its own configuration: {field.name} is {then!r} there, "
                f"not {given!r}; "
                + (f"only {', '.join(may_change)} may be new" if may_change else "leave it out")
            )
        new[field.name] = given
    return replace(former, **new)  # type: ignore[type-var, return-value]


def _stored(cls: type[C], folder: RunFolder) -> C:
    """``config.json`` as what it was written from."""
    stored = folder.read_config()
    for field in fields(cls):  # type: ignore[arg-type]
        if "Path" in str(field.type) and stored.get(field.name):
            stored[field.name] = Path(stored[field.name])
    return build(cls, stored, f"{folder.path / 'config.json'}")
