"""What the tests of perturbations share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

ARM = "arm_lift_peg_upright"


def save_table(path: Path, **colours: tuple[float, float, float]) -> None:
    """A table of DMC-GB with one entry: black, but for ``colours``, each in [0, 1]."""
    entry = {"grid_rgb1": (0, 0, 0), "grid_rgb2": (0, 0, 0), "self_rgb": (0, 0, 0)}
    entry |= {"skybox_rgb": (0, 0, 0), **colours}
    torch.save([{name: np.array(value, float) for name, value in entry.items()}], path)
