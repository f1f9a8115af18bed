"""What of its mask a target can call its own, where masks of several targets hold the same.

Of a target that is not there SAM finds a mask of something else, and is sure of it. Often that is
another target, or pieces of several, which are more alike to what they are.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from samg_ros.masking.foreground import Foreground

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
