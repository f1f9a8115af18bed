"""What finds a reference's targets, and which kind of it fits."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Protocol

import numpy as np
from torch import Tensor

from samg_ros.masking.config import MaskerConfig
from samg_ros.masking.encoders import Encoders, Seen
from samg_ros.masking.finder import TargetFinder
from samg_ros.masking.reference import Reference, View
from samg_ros.masking.result import MaskBatch
from samg_ros.masking.zoom import LARGEST, ZoomedFinder, window_side


class Finder(Protocol):
    """Finds one reference's targets in encoded frames."""

    target_names: tuple[str, ...]

    def __call__(self, images: Tensor, seen: Seen) -> MaskBatch:
        """:param images: the frames that were seen, uint8 [B, H, W, 3], on the device."""
        ...


def make_finder(encoders: Encoders, reference: Reference, config: MaskerConfig) -> Finder:
    """A finder for the part of the reference that the configuration uses."""
    used = _used(reference, config)
    if config.zoom and window_side(used) <= LARGEST:
        return ZoomedFinder(encoders, used, config)
    return TargetFinder(encoders, used, config)


def _used(reference: Reference, config: MaskerConfig) -> Reference:
    """Of every target the first views that show it, with or without part points."""
    seen: Counter[str] = Counter()
    views = []
    for view in reference.views:
        seen.update(target.name for target in view.targets)
        kept = [t for t in view.targets if not config.views or seen[t.name] <= config.views]
        if not config.parts:
            kept = [replace(t, points=np.zeros((0, 2), np.float32)) for t in kept]
        if kept:
            views.append(View(view.image, tuple(kept)))
    return Reference(tuple(views), reference.about)
