"""Keeps small computations on one thread without touching the rest of the process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def single_thread() -> Iterator[None]:
    """Run torch on one CPU thread inside the block.

    Threads cost small tensors more in waiting than they save (measured for a student network: 375
    against 17 inferences a second on two contended cores), but large models need them all.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
