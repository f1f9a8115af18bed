"""From a foreign file to a transformers state dict: one module a format, each with ``convert``."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any


def require_tools(converter: str) -> None:
    """Return if what ``converter`` imports is installed; asked before anything is downloaded.

    :raises WeightsError: it is not; the message says what to install.
    """
    from samg_ros.weights.conversion import onnx_runtime

    for tool in getattr(importlib.import_module(f"{__name__}.{converter}"), "TOOLS", ()):
        onnx_runtime.require(tool)


def convert(converter: str, files: tuple[Path, ...], out: Path) -> dict[str, Any]:
    """Write the safetensors file ``out`` from ``files``.

    :param converter: a module of this package.
    :returns: what was checked and how well it agreed, for the record beside the file.
    :raises WeightsError: a file is not of the expected form, or the check failed.
    """
    report: dict[str, Any] = importlib.import_module(f"{__name__}.{converter}").convert(files, out)
    return report
