"""What ``samg bench masker`` compares: the masker as configured, and the reference order of work.

Both take frames from the host's memory and give masks and masked frames back to it, so that a
device's transfers count for both. As ``python -m sim_bridge.bench.contenders`` this builds one of
them and measures its memory, which needs a process that has done nothing else.
"""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from samg_ros.errors import SamgError, WeightsError
from samg_ros.masking.config import MaskerConfig
from samg_ros.masking.encoders import Encoders
from samg_ros.masking.masker import Masker
from samg_ros.masking.reference import Reference
from samg_ros.models.base import FeatureExtractor, Segmenter, choose_device, choose_dtype, models
from samg_ros.weights import catalogue, resolve
from sim_bridge.bench.reference_order import FEATURE_SIZE, ReferenceOrder

log = logging.getLogger("samg_ros")
MASKER, REFERENCE_ORDER = "masker", "reference order"
META = torch.device("meta")
SEED = 0
MEGA = 1_000_000
KIB = 1024
LOG_TAIL = 12

# From frames, uint8 [B, H, W, 3], to masks, bool [B, H, W].
Run = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Setup:
    """What both contenders are made of.

    ``config``: with device, precision and input size by name, also where they were left to the
    machine or the model. ``reference``: its file. ``reference_size``: side of the segmenter's
    input in the reference order, px. ``random_weights``: instead of the real ones.
    """

    config: MaskerConfig
    reference: str
    reference_size: int
    random_weights: bool

    def build(self, contender: str) -> Run:
        """Load the models. :param contender: ``masker`` or ``reference order``."""
        config, reference = self.config, Reference.load(Path(self.reference))
        if config.threads:
            torch.set_num_threads(config.threads)
        if contender == REFERENCE_ORDER:
            segmenter, dino = self._models(self.reference_size, FEATURE_SIZE, torch.float32)
            order = ReferenceOrder(segmenter, dino, reference, config.scale_steps)
            return lambda frames: np.stack([order(rgb).mask for rgb in frames])
        dtype = choose_dtype(config.precision, choose_device(config.device))
        segmenter, dino = self._models(config.input_size, config.feature_size, dtype)
        features = None if config.features == "none" else dino
        masker = Masker.build(Encoders(segmenter, features), reference, config)

        def run(frames: np.ndarray) -> np.ndarray:
            found = masker(frames)
            _ = found.rgb  # which is computed when it is asked for
            return found.mask

        return run

    def _models(
        self, input_size: int, feature_size: int, dtype: torch.dtype
    ) -> tuple[Segmenter, FeatureExtractor]:
        """Random numbers, where those are asked for, are the same every time."""
        device = choose_device(self.config.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            loaded = []
            sizes = (input_size, feature_size)
            for (name, file), size in zip(_named(self.config), sizes, strict=True):
                found = None if self.random_weights else resolve.resolve(name, file, log=log.info)
                layer = found and found.feature_layer
                options = {} if layer is None else {"layer": layer}
                path = found and found.path
                loaded.append(models.get(name)(path, size, device, dtype, **options))
        return loaded[0], loaded[1]


def settle(
    config: MaskerConfig, reference: Path, reference_size: int, random_weights: bool
) -> Setup:
    """Find out, before anything is loaded, whether this can be measured here at all.

    :param reference_size: 0 takes the masker's. :param random_weights: whether they may stand in
        for weights that cannot be had.
    :raises ConfigError: unknown model, number type or device, or a size a model does not take.
    :raises WeightsError: weights cannot be had, and random ones are not wanted.
    """
    device = choose_device(config.device)
    precision = _short(choose_dtype(config.precision, device))
    (segmenter, _), (dino, _) = named = _named(config)
    size = _on_meta(segmenter, "segmenter", config.input_size).input_size
    reference_size = _on_meta(segmenter, "segmenter", reference_size or size).input_size
    for feature_size in (config.feature_size, FEATURE_SIZE):
        _on_meta(dino, "features", feature_size)
    missing = False
    for name, file in named:
        try:
            resolve.resolve(name, file, log=log.info)
        except WeightsError as error:
            if not random_weights:
                raise WeightsError(f"{error}\n(--random-weights measures speed alone)") from error
            missing = True
    settled = replace(config, device=str(device), precision=precision, input_size=size)
    return Setup(settled, str(reference), reference_size, missing)


def _named(config: MaskerConfig) -> tuple[tuple[str, str | None], tuple[str, str | None]]:
    """Both models and their files: the reference order has a second one in any case."""
    second = (config.features, config.features_weights or None)
    if config.features == "none":
        second = (MaskerConfig().features, None)
    return (config.segmenter, config.segmenter_weights or None), second


def _on_meta(name: str, role: str, size: int) -> Any:
    """A model with shapes and no numbers: nothing is computed, and a bad size is refused."""
    factory = models.get(name)
    catalogue.check_role(name, role)
    return factory(None, size, META, torch.float32)


def _short(dtype: torch.dtype) -> str:
    return {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}[dtype]


def batches_of(frames: np.ndarray, batch: int) -> list[np.ndarray]:
    """Full batches that hold every frame at least once, the first frames again at the end.

    :param frames: [N, ...]. :return: ceil(N / batch) arrays [batch, ...].
    """
    count = -(-len(frames) // batch)
    order = np.arange(count * batch) % len(frames)
    return [np.ascontiguousarray(frames[part]) for part in order.reshape(count, batch)]


def peak_memory_mb(
    setup: Setup, contender: str, frames: np.ndarray, batches: Sequence[int]
) -> dict[int, float | None]:
    """MB (1e6 bytes) by batch size: weights and work, less what Python and torch take anyway.

    On a CPU it is the resident set's rise over that of a process which has only imported
    everything; on CUDA, what torch has allocated at most. None where memory did not suffice.

    :param frames: uint8 [N, H, W, 3].
    :raises SamgError: the child failed; the message holds its last lines.
    """
    with TemporaryDirectory() as folder:
        file = Path(folder) / "frames.npy"
        np.save(file, frames)
        asked = {"contender": contender, "frames": str(file), "batches": list(batches)}
        child = subprocess.run(
            [sys.executable, "-m", "sim_bridge.bench.contenders"],
            input=json.dumps({"setup": asdict(setup), **asked}),
            capture_output=True,
            text=True,
            check=False,
        )
    if child.returncode:
        last = "\n".join(child.stderr.splitlines()[-LOG_TAIL:])
        raise SamgError(
            f"measuring memory of the {contender} ended with status {child.returncode} "
            f"(leave it out with --no-memory):\n{last}"
        )
    return {int(batch): peak for batch, peak in json.loads(child.stdout.splitlines()[-1]).items()}


def _measure(
    setup: Setup, contender: str, frames: np.ndarray, batches: Sequence[int]
) -> dict[int, float | None]:
    """As :func:`peak_memory_mb`, of this process."""
    device = setup.config.device
    # Imports what models need, which is not to count.
    _on_meta(setup.config.segmenter, "segmenter", setup.config.input_size)
    before, on_cuda = _status_mb("VmRSS"), device.startswith("cuda")
    run = setup.build(contender)
    peaks: dict[int, float | None] = {}
    for batch in sorted(batches):  # what a large one leaves would hide a small one
        with suppress(OSError):  # where the peak cannot be forgotten, loading counts as well
            Path("/proc/self/clear_refs").write_text("5")
        if on_cuda:
            torch.cuda.reset_peak_memory_stats(device)
        try:
            run(batches_of(frames, batch)[0])
        except torch.OutOfMemoryError:
            peaks[batch] = None
            continue
        on_device = torch.cuda.max_memory_allocated(device) / MEGA if on_cuda else None
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


if __name__ == "__main__":
    told = json.load(sys.stdin)
    given = Setup(MaskerConfig(**told["setup"].pop("config")), **told["setup"])
    found = _measure(given, told["contender"], np.load(told["frames"]), told["batches"])
    print(json.dumps(found))
