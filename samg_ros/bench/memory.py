"""Peak memory of one contender, in a process of its own: ``python -m samg_ros.bench.memory``.

A process that has held other models keeps their pages, so nothing could be told apart in it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from samg_ros.errors import SamgError

MEGA = 1_000_000
KIB = 1024
LOG_TAIL = 12


@dataclass(frozen=True)
class Request:
    """Whose memory is measured, as it goes to the child.

    :param contender: ``masker`` or ``reference_order``.
    :param config: the fields of a ``MaskerConfig``.
    :param reference: a reference's file. :param frames: an ``.npz`` with ``rgb``, uint8
        [N, H, W, 3].
    :param input_size: side of the segmenter's input in the reference order, px.
    """

    contender: str
    config: dict[str, Any]
    reference: str
    frames: str
    batches: Sequence[int]
    random_weights: bool
    input_size: int


def peak_memory_mb(request: Request) -> dict[int, float | None]:
    """MB (1e6 bytes) by batch size: weights and work, less what Python and torch take anyway.

    On a CPU it is the resident set's rise over that of a process which has only imported
    everything; on CUDA, what torch has allocated at most. None where memory did not suffice.

    :raises SamgError: the child failed; the message holds its last lines.
    """
    child = subprocess.run(
        [sys.executable, "-m", "samg_ros.bench.memory"],
        input=json.dumps(asdict(request)),
        capture_output=True,
        text=True,
        check=False,
    )
    if child.returncode:
        last = "\n".join(child.stderr.splitlines()[-LOG_TAIL:])
        raise SamgError(
            f"measuring memory of {request.contender} ended with status {child.returncode} "
            f"(leave it out with --no-memory):\n{last}"
        )
    return {int(batch): peak for batch, peak in json.loads(child.stdout.splitlines()[-1]).items()}


def measure(request: Request) -> dict[int, float | None]:
    """Build the contender here and run it; see :func:`peak_memory_mb`."""
    import numpy as np
    import torch

    from samg_ros.bench import contenders
    from samg_ros.bench.speed import batches_of
    from samg_ros.masking.config import MaskerConfig
    from samg_ros.masking.reference import Reference

    config = MaskerConfig(**request.config)
    frames = np.load(request.frames)["rgb"]
    reference = Reference.load(Path(request.reference))
    contenders.check(config, request.input_size)  # imports what the models need
    before, on_cuda = _status_mb("VmRSS"), config.device.startswith("cuda")
    if request.contender == "masker":
        run = contenders.masker_run(reference, config, request.random_weights)
    else:
        run = contenders.reference_order_run(
            reference, config, request.random_weights, request.input_size
        )
    peaks: dict[int, float | None] = {}
    for batch in sorted(request.batches):  # what a large one leaves would hide a small one
        _forget_peak()
        if on_cuda:
            torch.cuda.reset_peak_memory_stats(config.device)
        try:
            run(batches_of(frames, batch)[0])
        except torch.OutOfMemoryError:
            peaks[batch] = None
            continue
        on_device = torch.cuda.max_memory_allocated(config.device) / MEGA if on_cuda else None
        peaks[batch] = round(on_device or _status_mb("VmHWM") - before, 1)
    return peaks


def _status_mb(key: str) -> float:
    """A line of ``/proc/self/status``. :raises SamgError: this is not Linux."""
    try:
        text = Path("/proc/self/status").read_text()
    except OSError as error:
        raise SamgError("peak memory is read from /proc, which is not here") from error
    found = re.search(rf"{key}:\s+(\d+) kB", text)
    return int(found[1]) * KIB / MEGA if found else 0.0


def _forget_peak() -> None:
    """Let the peak begin at what is resident now; where it may not, loading counts as well."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


if __name__ == "__main__":
    print(json.dumps(measure(Request(**json.load(sys.stdin)))))
