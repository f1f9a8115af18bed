"""What acts on masked pictures: policies that ship, how they learn, and how they are served.

    import policies

    policy = policies.load("adroit_door")  # one that ships, or a .safetensors file
    action = policy.act(policies.Observation(rgb, joints))  # float32 [A] in [-1, 1]

Nothing is imported before it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from policies.base import Observation, Policy
    from policies.registry import load

__all__ = ["Observation", "Policy", "load"]

_HOMES = {
    "Observation": "policies.base",
    "Policy": "policies.base",
    "load": "policies.registry",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
