"""The numerical check of a conversion: original and converted model on the same input.

The measure is the relative L2 error ``|a - b| / |b|`` of each compared output. Two limits: the
float32 tensors must reproduce the original up to the order of summation (measured 3e-6), which a
wrong mapping misses by orders of magnitude; stored as float16 the tensors are rounded to 11 bits
(measured 2e-3), which must stay small against what separates an object from its background.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from samg_ros.errors import WeightsError
from samg_ros.weights.conversion.state import save

if TYPE_CHECKING:
    from samg_ros.weights.conversion.state import State

    Errors = Callable[[State], dict[str, float]]


FLOAT32_TOLERANCE = 1e-4
FLOAT16_TOLERANCE = 5e-3
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def check_image(side: int) -> np.ndarray:
    """A smooth picture with a disc and a box, normalised as ImageNet: float32 1 x 3 x side x side.

    Drawn, so that the check needs no file; with things to segment, so that it is no noise test.
    """
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
    rgb = np.stack([x, y, 0.5 + 0.5 * np.sin(12 * x + 7 * y)])
    rgb[:, (x - 0.4) ** 2 + (y - 0.55) ** 2 < 0.04] = np.array([[0.9], [0.2], [0.1]])
    rgb[:, (abs(x - 0.75) < 0.1) & (abs(y - 0.3) < 0.15)] = np.array([[0.1], [0.3], [0.8]])
    mean, std = np.reshape(MEAN, (3, 1, 1)), np.reshape(STD, (3, 1, 1))
    return ((rgb - mean) / std).astype(np.float32)[None]


def relative_error(ours: np.ndarray, original: np.ndarray) -> float:
    """``|ours - original| / |original|`` in the L2 norm."""
    a, b = ours.astype(np.float64), original.astype(np.float64)
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def store_checked(state: State, errors: Errors, out: Path) -> dict[str, Any]:
    """Check ``state`` against the original and write it, as float16 where that is good enough.

    :param state: float32 tensors.
    :param errors: relative error of every compared output for a float32 state dict.
    :returns: precision, worst errors and the limits they were held to.
    :raises WeightsError: the float32 tensors do not reproduce the original; nothing is written.
    """
    exact = _worst(errors(state))
    if not exact[1] <= FLOAT32_TOLERANCE:  # also refuses NaN
        raise WeightsError(
            f"the converted model does not agree with the original: relative error {exact[1]:.1e} "
            f"of {exact[0]}, allowed {FLOAT32_TOLERANCE:.0e}"
        )
    half = {name: tensor.half() for name, tensor in state.items()}
    rounded = _worst(errors({name: tensor.float() for name, tensor in half.items()}))
    fits = rounded[1] <= FLOAT16_TOLERANCE
    save(half if fits else state, out)
    return {
        "precision": "float16" if fits else "float32",
        "error_float32": exact[1],
        "tolerance_float32": FLOAT32_TOLERANCE,
        "error_stored": rounded[1] if fits else exact[1],
        "tolerance_stored": FLOAT16_TOLERANCE if fits else FLOAT32_TOLERANCE,
        "worst_output": rounded[0] if fits else exact[0],
    }


def _worst(errors: dict[str, float]) -> tuple[str, float]:
    """The output that agrees least; a NaN counts as the worst."""
    return max(errors.items(), key=lambda item: np.inf if np.isnan(item[1]) else item[1])
