"""Points and boxes out of maps, batched. Coordinates are (x, y), relative to the image."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# The box of an empty mask: nearly the whole frame, so that the next decode may find it again.
WHOLE_FRAME = (0.01, 0.01, 0.99, 0.99)
# A box's corners are middles of pixels, up to this.
ROUNDING = 1e-6


def peak(maps: Tensor, *, lowest: bool = False) -> tuple[Tensor, Tensor]:
    """The position and value of each map's maximum (or minimum).

    :param maps: float [..., H, W].
    :return: float [..., 2], the middle of the pixel; float [...], the value there.
    """
    height, width = maps.shape[-2:]
    flat = maps.flatten(-2)
    value, index = flat.min(-1) if lowest else flat.max(-1)
    y = torch.div(index, width, rounding_mode="floor")
    at = torch.stack([(index % width + 0.5) / width, (y + 0.5) / height], -1)
    return at, value


def boxes_of(masks: Tensor) -> Tensor:
    """Bounding boxes, float [..., 4] as (x0, y0, x1, y1), of bool masks [..., H, W].

    The corners are the middles of the outermost pixels; an empty mask gives ``WHOLE_FRAME``.
    """
    x0, x1 = _extent(masks.any(-2))
    y0, y1 = _extent(masks.any(-1))
    something = masks.flatten(-2).any(-1)
    # Numbers, not a tensor of them, which would be copied to the device and waited for.
    corners = zip((x0, y0, x1, y1), WHOLE_FRAME, strict=True)
    return torch.stack([torch.where(something, own, whole) for own, whole in corners], -1)


def inside(boxes: Tensor, height: int, width: int) -> Tensor:
    """Bool [..., H, W]: pixels whose middle lies within the box, float [..., 4]."""
    x = (torch.arange(width, device=boxes.device) + 0.5) / width
    y = (torch.arange(height, device=boxes.device) + 0.5) / height
    columns = (x >= boxes[..., 0:1] - ROUNDING) & (x <= boxes[..., 2:3] + ROUNDING)
    rows = (y >= boxes[..., 1:2] - ROUNDING) & (y <= boxes[..., 3:4] + ROUNDING)
    return rows.unsqueeze(-1) & columns.unsqueeze(-2)


def resize(maps: Tensor, height: int, width: int) -> Tensor:
    """Bilinear, over the last two of any number of dimensions."""
    flat = maps.flatten(1, -3)
    fine = F.interpolate(flat, size=(height, width), mode="bilinear", align_corners=False)
    return fine.unflatten(1, maps.shape[1:-2])


def _extent(occupied: Tensor) -> tuple[Tensor, Tensor]:
    """First and last occupied cell of bool [..., n], relative, at the cells' middles."""
    cells = occupied.shape[-1]
    numbers = occupied.to(torch.uint8)
    first = numbers.argmax(-1)
    last = cells - 1 - numbers.flip(-1).argmax(-1)
    return (first + 0.5) / cells, (last + 0.5) / cells
