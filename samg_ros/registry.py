"""A name -> factory table that is filled by a decorator and imported lazily."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Generic, TypeVar

from samg_ros.errors import ConfigError, quoted

T = TypeVar("T", bound=Callable)


class Registry(Generic[T]):
    """Factories of one kind (``model``, ``task``, ``policy``), by name.

    :param kind: what the entries are, for error messages.
    :param modules: modules whose import registers entries; imported at the first look-up, so they
        must keep heavy imports (torch, mujoco) inside their functions where they can.
    """

    def __init__(self, kind: str, modules: tuple[str, ...]) -> None:
        self.kind = kind
        self._modules = modules
        self._entries: dict[str, T] = {}
        self._loaded = False

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that files a factory under ``name``.

        :raises ConfigError: the name is taken.
        """

        def add(factory: T) -> T:
            if name in self._entries:
                raise ConfigError(f"{self.kind} {name!r} is registered twice")
            self._entries[name] = factory
            return factory

        return add

    def names(self) -> tuple[str, ...]:
        """All registered names, sorted."""
        self._load()
        return tuple(sorted(self._entries))

    def get(self, name: str) -> T:
        """The factory called ``name``.

        :raises ConfigError: no such entry; the message lists the choices.
        """
        self._load()
        if name not in self._entries:
            choices = ", ".join(self.names())
            raise ConfigError(f"unknown {self.kind} {quoted(name)}; choose one of: {choices}")
        return self._entries[name]

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        for module in self._modules:
            importlib.import_module(module)
