"""Where in a frame anything of a target is: likeness to the nearest of many remembered cells.

SAM-G's part points say where a few parts are. Limbs, heads and handles between them are often
left out of the mask, so a target is also remembered by many small pieces of all its views.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from samg_ros.machine import single_thread
from samg_ros.masking.correspondence import cells_inside
from samg_ros.masking.reference import Reference

# Weights of the segmenter's features and of the second model's. The second model's cells are
# coarser: they tell objects apart, but not their edges.
MAP_WEIGHTS = (1.0, 0.5)
PROTOTYPES = 64
KMEANS_ROUNDS = 10
# How sharply the likeness is turned into a probability, in units of cosine similarity.
SOFTNESS = 0.04
# Between a frame's median likeness (background) and its highest one: where probability is 1/2.
HALFWAY = 0.6
# A cell belongs to a mask that covers so much of it (of a thin one, to which it covers most).
COVERED = 0.7


@dataclass(frozen=True)
class Foreground:
    """How alike every cell of B frames is to T targets. ``likeness``: float [B, T, G, G]."""

    likeness: Tensor

    def level(self, share: float) -> Tensor:
        """The likeness that far from a frame's median to its highest, float [B, T]."""
        flat = self.likeness.flatten(2)
        low, high = flat.median(2).values, flat.amax(2)
        return low + share * (high - low)

    def cells(self, masks: Tensor) -> Tensor:
        """What masks, bool [B, T, H, W], hold: bool [B, T, G, G]; nothing only of empty ones."""
        covered = F.adaptive_avg_pool2d(masks.float(), self.likeness.shape[-1])
        most = covered.amax((-2, -1), keepdim=True)
        return (covered >= most.clamp(max=COVERED)) & (most > 0)

    def inside(self, cells: Tensor) -> Tensor:
        """Mean likeness of cells, bool [B, T, G, G], to their targets: float [B, T], 0 of none."""
        return (self.likeness * cells).sum((-2, -1)) / cells.sum((-2, -1)).clamp(min=1)

    @property
    def probability(self) -> Tensor:
        """Float [B, T, G, G]: that a cell belongs to the target."""
        return torch.sigmoid((self.likeness - self.level(HALFWAY)[..., None, None]) / SOFTNESS)


class ForegroundBank:
    """What the cells of every target look like, in all views: k-means centres of them.

    :param view_maps: for each view, its feature maps, float [1, C, h, w] each.
    :param grid: cells a side on which maps and masks are laid over each other.
    """

    def __init__(
        self, reference: Reference, view_maps: Sequence[Sequence[Tensor]], grid: int
    ) -> None:
        self.grid = grid
        cells: dict[str, list[Tensor]] = {name: [] for name in reference.names}
        for view, maps in zip(reference.views, view_maps, strict=True):
            joint = self._joint(maps)[0]
            for target in view.targets:
                mask = torch.from_numpy(target.mask).float().to(joint.device)
                cells[target.name].append(joint.flatten(1)[:, cells_inside(mask, grid)].t())
        with single_thread():
            self._centres = torch.stack([_centres(torch.cat(found)) for found in cells.values()])

    def __call__(self, maps: Sequence[Tensor]) -> Foreground:
        """:param maps: a batch's feature maps, float [B, C, h, w] each."""
        alike = torch.einsum("bchw,tmc->btmhw", self._joint(maps), self._centres)
        return Foreground(alike.amax(2))

    def _joint(self, maps: Sequence[Tensor]) -> Tensor:
        """All maps on the grid as one, unit vectors, float [B, C, G, G].

        Features, not likenesses, are interpolated: at an edge a mixture of both sides stays a
        unit vector, whose likeness tells a little more than the mean of two likenesses.
        """
        size = (self.grid, self.grid)
        fine = [
            F.normalize(F.interpolate(F.normalize(m, dim=1), size, mode="bilinear"), dim=1)
            * weight
            for m, weight in zip(maps, MAP_WEIGHTS[: len(maps)], strict=True)
        ]
        return F.normalize(torch.cat(fine, 1), dim=1)


def _centres(cells: Tensor) -> Tensor:
    """Spherical k-means, float [PROTOTYPES, C], of unit vectors [n, C]; fewer cells repeat.

    It begins at cells spread by farthest-point sampling: the result is the same every time.
    """
    chosen = [(cells - cells.mean(0)).square().sum(1).argmin()]
    distance = (cells - cells[chosen[0]]).square().sum(1)
    for _ in range(PROTOTYPES - 1):
        chosen.append(distance.argmax())
        distance = torch.minimum(distance, (cells - cells[chosen[-1]]).square().sum(1))
    centres = cells[torch.stack(chosen)]
    for _ in range(KMEANS_ROUNDS):
        nearest = F.one_hot((cells @ centres.t()).argmax(1), PROTOTYPES).to(cells.dtype)
        sums = nearest.t() @ cells
        centres = torch.where(nearest.sum(0)[:, None] > 0, F.normalize(sums, dim=1), centres)
    return centres


# A target that keeps no more than this share of what its mask holds has nothing of its own.
LEAST_SHARE = 0.2
# Whose a cell is, is asked of a square of so many a side: things of one colour are nearly as alike
# everywhere, and single cells would fall to both.
AROUND = 5


def own_cells(foreground: Foreground, cells: Tensor) -> Tensor:
    """The cells that stay a target's own, bool [B, T, G, G]; none of a target that is not there.

    A cell that the masks of others hold too is theirs, if around it they are more alike than the
    target is. Only those count whose masks are, as a whole, more alike to them than the
    target's is to it: so of two that contend for one thing, one keeps it.

    :param cells: what masks hold (see :meth:`Foreground.cells`), bool [B, T, G, G].
    """
    alike = foreground.inside(cells)
    stronger = alike[:, None] > alike[:, :, None]
    held = cells[:, None] & stronger[..., None, None]
    contested = cells & held.any(2)
    theirs = foreground.likeness[:, None].masked_fill(~held, -1).amax(2)
    lead = F.avg_pool2d((theirs - foreground.likeness) * contested, AROUND, 1, AROUND // 2)
    kept = cells & ~(contested & (lead > 0))
    enough = kept.sum((-2, -1)) > LEAST_SHARE * cells.sum((-2, -1))
    return kept & enough[..., None, None]
