"""Pictures as networks take them."""

from __future__ import annotations

import torch
from torch import Tensor


def to_float(images: Tensor) -> Tensor:
    """A copy as float32 in the layout in which a CPU convolves fastest; a GPU loses nothing by it.

    :param images: uint8 [B, C, H, W].
    :return: float32, the same shape and values, channels last in memory.
    """
    # Bytes are put in order first: a quarter of the traffic that ordering floats is.
    return images.contiguous(memory_format=torch.channels_last).to(torch.float32)
