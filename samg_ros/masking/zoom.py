"""Small targets are sought again: in a window of the frame, enlarged to the models' input.

SAM finds thin and tiny things badly at 512 px. Where all views of a reference show the targets
within a part of the picture, the whole frame only shows where that part is now.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from samg_ros.masking.config import MaskerConfig
from samg_ros.masking.encoders import Encoded, Encoders
from samg_ros.masking.finder import TargetFinder
from samg_ros.masking.foreground import ForegroundBank
from samg_ros.masking.reference import Reference, Target, View
from samg_ros.masking.result import MaskResult

# The window's side, relative to the frame's: what the targets take up at most, and some room;
# more where one view alone shows how large they can be.
ROOM, ROOM_OF_ONE_VIEW = 1.4, 2.0
SMALLEST = 0.25
SMALLEST_PX = 16
# With a larger window searching again is not worth its time.
LARGEST = 0.75
# A cell counts in the search for the window from this level on (see Foreground.level).
COUNTS = 0.5


def window_side(reference: Reference) -> float:
    """Side of the window that holds all targets, relative to the frame's width and height."""
    extents = [_extent(view) for view in reference.views]
    room = ROOM if len(extents) > 1 else ROOM_OF_ONE_VIEW
    return float(np.clip(room * max(extents), SMALLEST, 1))


class ZoomedFinder:
    """Finds one reference's targets within a window of the frame; as :class:`TargetFinder`."""

    def __init__(self, encoders: Encoders, reference: Reference, config: MaskerConfig) -> None:
        self.target_names = reference.names
        self.device = encoders.device
        self._encode = encoders
        self._side = window_side(reference)
        with torch.inference_mode():
            views = [encoders(torch.from_numpy(v.image)[None]).maps for v in reference.views]
            self._locate = ForegroundBank(reference, views, config.reference_grid)
        self._find = TargetFinder(encoders, zoomed(reference, self._side), config)

    @torch.inference_mode()
    def __call__(self, images: Tensor, encoded: Encoded) -> MaskResult:
        """:param images: the frames that were encoded, uint8 [B, H, W, 3], on the device."""
        height, width = images.shape[1:3]
        size = _window_px(height, width, self._side)
        corners = self._corners(encoded, height, width)
        rows = corners[:, 1, None] + torch.arange(size[0], device=self.device)
        columns = corners[:, 0, None] + torch.arange(size[1], device=self.device)
        frames = torch.arange(len(images), device=self.device)[:, None, None]
        crops = images[frames, rows[:, :, None], columns[:, None, :]]
        found = self._find(crops, self._encode(crops))
        masks = torch.zeros(
            *found.each.shape[:2], height, width, dtype=torch.bool, device=self.device
        )
        targets = torch.arange(masks.shape[1], device=self.device)[:, None, None]
        at = (frames[:, None], targets[None], rows[:, None, :, None], columns[:, None, None, :])
        masks[at] = found.each
        whole = torch.tensor([width, height], device=self.device)
        window = torch.tensor([size[1], size[0]], device=self.device)
        points = (found.points * window + corners[:, None, None]) / whole
        return replace(found, images=images, mask=masks.any(1), each=masks, points=points)

    def _corners(self, encoded: Encoded, height: int, width: int) -> Tensor:
        """Left upper corners of the windows, int [B, 2] as (x, y) in pixels."""
        foreground = self._locate(encoded.maps)
        level = foreground.level(COUNTS)[..., None, None]
        weight = (foreground.likeness - level).clamp(min=0).amax(1)
        grid = weight.shape[-1]
        cells = max(1, round(self._side * grid))
        within = weight * _fullest_window(weight, cells)
        middle = (torch.arange(grid, device=weight.device) + 0.5) / grid
        mass = within.sum((1, 2)).clamp(min=1e-6)
        x, y = (within.sum(1) @ middle) / mass, (within.sum(2) @ middle) / mass
        window = _window_px(height, width, self._side)
        corners = [
            (centre * whole - part / 2).round().long().clamp(0, whole - part)
            for centre, whole, part in ((x, width, window[1]), (y, height, window[0]))
        ]
        return torch.stack(corners, -1)


def zoomed(reference: Reference, side: float) -> Reference:
    """The reference as a window around the targets shows it."""
    return Reference(tuple(_zoomed_view(v, side) for v in reference.views), reference.about)


def _zoomed_view(view: View, side: float) -> View:
    rows, columns = np.nonzero(_union(view))
    middle = (rows.min() + rows.max() + 1) // 2, (columns.min() + columns.max() + 1) // 2
    whole = view.image.shape[:2]
    window = _window_px(whole[0], whole[1], side)
    top, left = (
        int(np.clip(m - part // 2, 0, all_ - part))
        for m, part, all_ in zip(middle, window, whole, strict=True)
    )
    cut = (slice(top, top + window[0]), slice(left, left + window[1]))
    corner = np.array([left, top], np.float32)
    limit = np.array([window[1] - 1, window[0] - 1], np.float32)
    targets = tuple(
        Target(t.name, t.mask[cut].copy(), (t.points - corner).clip(0, limit))
        for t in view.targets
    )
    return View(view.image[cut].copy(), targets)


def _fullest_window(weight: Tensor, cells: int) -> Tensor:
    """Float [B, G, G]: 1 inside the window of ``cells`` a side that holds most weight."""
    pad = cells // 2
    sums = F.avg_pool2d(weight[:, None], cells, 1, pad, count_include_pad=True)[:, 0]
    first = sums.flatten(1).argmax(1)
    grid = torch.arange(weight.shape[-1], device=weight.device)
    top = torch.div(first, sums.shape[-1], rounding_mode="floor")[:, None] - pad
    left = (first % sums.shape[-1])[:, None] - pad
    rows, columns = (((grid >= s) & (grid < s + cells)).to(weight.dtype) for s in (top, left))
    return rows[:, :, None] * columns[:, None, :]


def _window_px(height: int, width: int, side: float) -> tuple[int, int]:
    """Height and width of the window in pixels."""
    return tuple(  # type: ignore[return-value]
        max(round(side * whole), min(whole, SMALLEST_PX)) for whole in (height, width)
    )


def _extent(view: View) -> float:
    """The longer side of the box around a view's targets, relative to the picture."""
    rows, columns = np.nonzero(_union(view))
    height, width = view.image.shape[:2]
    return max((np.ptp(rows) + 1) / height, (np.ptp(columns) + 1) / width)


def _union(view: View) -> np.ndarray:
    return np.any([target.mask for target in view.targets], axis=0)
