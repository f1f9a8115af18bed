"""Masked observations for robot policies: a picture comes in, all but the task's objects goes.

    import samg_ros

    masker = samg_ros.load_masker("adroit_door")  # or a .npz made by `samg reference`
    picture = masker(rgb).rgb

Nothing is imported before it is asked for: neither torch nor OpenCV, and never ROS or a simulator.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from samg_ros.masking.config import MaskerConfig
    from samg_ros.masking.masker import Masker, load_masker
    from samg_ros.masking.reference import Reference
    from samg_ros.masking.result import MaskResult

    __version__: str

__all__ = ["MaskResult", "Masker", "MaskerConfig", "Reference", "__version__", "load_masker"]

_HOMES = {
    "MaskResult": "samg_ros.masking.result",
    "Masker": "samg_ros.masking.masker",
    "MaskerConfig": "samg_ros.masking.config",
    "Reference": "samg_ros.masking.reference",
    "load_masker": "samg_ros.masking.masker",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value: Any = _version()
    elif name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    """Of the installed package, or ``source`` where it runs uninstalled."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("samg_ros")
    except PackageNotFoundError:
        return "source"
