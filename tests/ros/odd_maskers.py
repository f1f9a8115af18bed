"""Masker nodes with a scripted source instead of models: ``python -m odd_maskers KIND``.

Pixels say what happens to a frame: a black one is lost, a white one breaks the source.
``gated`` masks nothing until the file named by the environment's ``SAMG_TEST_GATE`` is there.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from samg_ros.masking.result import CameraFrame, FrameMask
from samg_ros.nodes.masker_node import MaskerNode
from samg_ros.ros.runtime import run

POLL_S = 0.01


def scripted(frames: Sequence[CameraFrame]) -> list[FrameMask]:
    """The target is where there is more red than green."""
    masks = []
    for _, rgb in frames:
        if rgb.min() == 255:
            raise RuntimeError("this frame is white")
        mask = rgb[..., 0] > rgb[..., 1]
        status = "found" if rgb.any() else "lost"
        masks.append(FrameMask(mask, float(mask.any()), status, {"red": status}))
    return masks


def gated(frames: Sequence[CameraFrame]) -> list[FrameMask]:
    """Waits for the gate, then lets everything through."""
    print(f"masking {len(frames)}", flush=True)
    while not Path(os.environ["SAMG_TEST_GATE"]).exists():
        time.sleep(POLL_S)
    full = [np.ones(rgb.shape[:2], bool) for _, rgb in frames]
    return [FrameMask(mask, 1.0, "found", {}) for mask in full]


SOURCES = {"scripted": scripted, "gated": gated}


class OddMasker(MaskerNode):
    """The masker, less its models."""

    def _make_source(self):
        return SOURCES[sys.argv[1]]


if __name__ == "__main__":
    sys.exit(run(OddMasker))
