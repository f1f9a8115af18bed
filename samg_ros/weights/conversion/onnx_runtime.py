"""onnx and onnxruntime, needed for conversions only: import them or say how to get them."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from samg_ros.errors import WeightsError

NEEDED = ("onnx", "onnxruntime")


def require(name: str) -> ModuleType:
    """Import ``name``, a part of onnx or onnxruntime.

    :raises WeightsError: it is not installed; the message says what to install.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise WeightsError(
            f"converting this model needs {' and '.join(NEEDED)} ({error}); "
            "install them with `pip install samg_ros[weights]`"
        ) from error


def session(model: str | bytes) -> Any:
    """An inference session on the CPU.

    :param model: a file's path, or a model's bytes.
    :raises WeightsError: this onnxruntime cannot run the model.
    """
    runtime = require("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    try:
        return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no base class of their own
        version = runtime.__version__
        raise WeightsError(f"onnxruntime {version} cannot load the model: {error}") from error
