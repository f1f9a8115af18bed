"""What figures were measured on."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """Processor, cores that may be used, GPU, and the versions that figures depend on."""
    import torch

    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": version("torch"),
    }


def describe(about: dict[str, Any]) -> str:
    """What :func:`machine` gives, as half a sentence."""
    gpu = about["gpu"] or "no GPU"
    software = f"Python {about['python']}, torch {about['torch']}"
    return f"{about['cores']} cores of {about['processor']}, {gpu}, {software}"


def _processor() -> str:
    """The model's name, which Python does not give on Linux."""
    try:
        told = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        told = None
    return told[1].strip() if told else platform.processor() or platform.machine()


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Run torch on ``count`` CPU threads inside the block; 0 leaves it as it is."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def single_thread() -> AbstractContextManager[None]:
    """Run torch on one CPU thread inside the block.

    Threads cost small tensors more in waiting than they save (measured for a student network: 375
    against 17 inferences a second on two contended cores), but large models need them all.
    """
    return torch_threads(1)
