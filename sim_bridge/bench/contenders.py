"""What is compared for speed: the masker as configured, and the reference order of work.

Both take frames from the host's memory and give masks and masked frames back to it, so that a
device's transfers count for both.
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
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from samg_ros.errors import ConfigError, SamgError, WeightsError
from samg_ros.masking.config import MaskerConfig
from samg_ros.masking.encoders import Encoders
from samg_ros.masking.masker import Masker, build_masker
from samg_ros.masking.reference import Reference
from samg_ros.models.base import FeatureExtractor, Segmenter, choose_device, choose_dtype, models
from samg_ros.parameters import documented, parameter, validate
from samg_ros.weights import catalogue, resolve
from sim_bridge.bench.reference_order import FEATURE_SIZE, ReferenceOrder

log = logging.getLogger("samg_ros")
META = torch.device("meta")
SEED = 0

# From frames, uint8 [B, H, W, 3], to masks, bool [B, H, W].
Run = Callable[[np.ndarray], np.ndarray]


def check(config: MaskerConfig, reference_size: int) -> None:
    """Find out before anything is loaded whether a configuration can be had here at all.

    :param reference_size: side of the segmenter's input in the reference order, px.
    :raises ConfigError: unknown model, number type or device, or a size a model does not take.
    """
    choose_dtype(config.precision, choose_device(config.device))
    for name, role, sizes in (
        (config.segmenter, "segmenter", (config.input_size, reference_size)),
        (config.features, "features", (config.feature_size, FEATURE_SIZE)),
    ):
        if name == "none" and role == "features":
            continue
        factory = models.get(name)
        catalogue.check_role(name, role)
        for size in sizes:
            # On the meta device a model has shapes and no numbers: nothing is computed.
            factory(None, size, META, torch.float32)


def input_size(config: MaskerConfig) -> int:
    """The side of the segmenter's input in px, also where the configuration leaves it to it."""
    factory = models.get(config.segmenter)
    return int(factory(None, config.input_size, META, torch.float32).input_size)


def missing_weights(config: MaskerConfig) -> str:
    """Why a model's weights cannot be had, or nothing where they can (they are fetched then)."""
    wanted = ((config.segmenter, config.segmenter_weights), (_dino(config), _dino_weights(config)))
    try:
        for name, path in wanted:
            resolve.resolve(name, path or None, log=log.info)
    except WeightsError as error:
        return str(error)
    return ""


def masker_run(reference: Reference, config: MaskerConfig, random_weights: bool) -> Run:
    """The masker, in batches."""
    if random_weights:
        if config.threads:
            torch.set_num_threads(config.threads)
        device = choose_device(config.device)
        dtype = choose_dtype(config.precision, device)
        segmenter, dino = _random_models(config, config.input_size, config.feature_size, dtype)
        features = None if config.features == "none" else dino
        masker = Masker.build(Encoders(segmenter, features), reference, config)
    else:
        masker = build_masker(reference, config)

    def run(frames: np.ndarray) -> np.ndarray:
        found = masker(frames)
        _ = found.rgb  # which is computed when it is asked for
        return found.mask

    return run


def reference_order_run(
    reference: Reference, config: MaskerConfig, random_weights: bool, input_size: int
) -> Run:
    """The reference order with the same weights, in fp32; DINOv2 in any case.

    :param input_size: side of the segmenter's input, px.
    """
    load = _random_models if random_weights else _real_models
    segmenter, features = load(config, input_size, FEATURE_SIZE, torch.float32)
    order = ReferenceOrder(segmenter, features, reference, config.scale_steps)
    return lambda frames: np.stack([order(rgb).mask for rgb in frames])


def _real_models(
    config: MaskerConfig, input_size: int, feature_size: int, dtype: torch.dtype
) -> tuple[Segmenter, FeatureExtractor]:
    device = choose_device(config.device)
    sam = resolve.resolve(config.segmenter, config.segmenter_weights or None, log=log.info)
    dino = resolve.resolve(_dino(config), _dino_weights(config) or None, log=log.info)
    layer = {} if dino.feature_layer is None else {"layer": dino.feature_layer}
    return (
        models.get(config.segmenter)(sam.path, input_size, device, dtype),
        models.get(_dino(config))(dino.path, feature_size, device, dtype, **layer),
    )


def _random_models(
    config: MaskerConfig, input_size: int, feature_size: int, dtype: torch.dtype
) -> tuple[Segmenter, FeatureExtractor]:
    """The same random numbers every time."""
    device = choose_device(config.device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return (
            models.get(config.segmenter)(None, input_size, device, dtype),
            models.get(_dino(config))(None, feature_size, device, dtype),
        )


def _dino(config: MaskerConfig) -> str:
    """The reference order's second model, also where the masker does without one."""
    return MaskerConfig().features if config.features == "none" else config.features


def _dino_weights(config: MaskerConfig) -> str:
    return "" if config.features == "none" else config.features_weights


def batches_of(frames: np.ndarray, batch: int) -> list[np.ndarray]:
    """Full batches that hold every frame at least once, the first frames again at the end.

    :param frames: [N, ...]. :return: ceil(N / batch) arrays [batch, ...].
    """
    count = -(-len(frames) // batch)
    order = np.arange(count * batch) % len(frames)
    return [np.ascontiguousarray(frames[part]) for part in order.reshape(count, batch)]


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
        [sys.executable, "-m", "sim_bridge.bench.contenders"],
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
    config = MaskerConfig(**request.config)
    frames = np.load(request.frames)["rgb"]
    reference = Reference.load(Path(request.reference))
    check(config, request.input_size)  # imports what the models need
    before, on_cuda = _status_mb("VmRSS"), config.device.startswith("cuda")
    if request.contender == "masker":
        run = masker_run(reference, config, request.random_weights)
    else:
        run = reference_order_run(reference, config, request.random_weights, request.input_size)
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


# Each list of the bench, and the masker's option that stands in for an empty one.
VARIED = {
    "segmenters": "segmenter",
    "input_sizes": "input_size",
    "feature_sizes": "feature_size",
    "precisions": "precision",
    "devices": "device",
}


@documented
@dataclass(frozen=True)
class MaskerBench:
    """What is measured. A list that is left empty holds the masker's own option alone."""

    task: str = parameter("adroit_door", "task whose frames are masked")
    reference: str = parameter("", "reference .npz; empty takes the task's")
    batches: tuple[int, ...] = parameter((1, 4), "numbers of frames masked together")
    segmenters: tuple[str, ...] = parameter((), "segmentation models to compare")
    input_sizes: tuple[int, ...] = parameter((), "sides of the segmenter's input, px; 0: its own")
    feature_sizes: tuple[int, ...] = parameter((), "sides of the second model's input, px")
    precisions: tuple[str, ...] = parameter((), "number types: auto, fp32, bf16, fp16")
    devices: tuple[str, ...] = parameter((), "torch devices: auto, cpu, cuda, ...")
    perturb: str = parameter(
        "photos", "how the task is made to look, such as none, photos, video_hard=FOLDER"
    )
    size: int = parameter(256, "side of the camera's picture", unit="px", low=16, high=2048)
    episodes: int = parameter(2, "episodes the frames are from", low=1)
    frames: int = parameter(4, "frames of each episode at most", low=1)
    repeats: int = parameter(3, "times all frames are masked by each in turn", low=1)
    seed: int = parameter(0, "seed of the first episode", low=0)
    reference_size: int = parameter(
        512,
        "side of the segmenter's input in the reference order of work (the paper's: 512); 0 takes "
        "each configuration's own",
        unit="px",
        low=0,
        high=2048,
    )
    random_weights: bool = parameter(
        False, "where a model's weights cannot be had, measure speed alone with random ones"
    )
    memory: bool = parameter(True, "measure peak memory, in a process for each configuration")
    out: str = parameter("", "folder of the run, resumed if it is there; by default a new one")

    def __post_init__(self) -> None:
        validate(self)
        for name, least in (("batches", 1), ("input_sizes", 0), ("feature_sizes", 1)):
            if any(value < least for value in getattr(self, name)):
                values = getattr(self, name)
                raise ConfigError(f"{name} are {values}; each must be at least {least}")
        if not self.batches:
            raise ConfigError("batches is empty; name at least one size, such as 1")


def configurations(bench: MaskerBench, masker: MaskerConfig) -> list[MaskerConfig]:
    """The masker's options for every combination.

    What is left to the machine or the model (``auto``, an input size of 0) is told by name, since
    rows are compared by it.

    :raises ConfigError: a device, precision, model or size that cannot be used here.
    """
    if masker.segmenter_weights and len(bench.segmenters) > 1:
        raise ConfigError("segmenter_weights is one file, which cannot fit several segmenters")
    lists = [getattr(bench, many) or (getattr(masker, one),) for many, one in VARIED.items()]
    found = []
    for values in product(*lists):
        config = replace(masker, **dict(zip(VARIED.values(), values, strict=True)))
        device = choose_device(config.device)
        precision = _name(choose_dtype(config.precision, device))
        config = replace(config, device=str(device), precision=precision)
        check(config, bench.reference_size)
        found.append(replace(config, input_size=input_size(config)))
    return list(dict.fromkeys(found))


def settings(bench: MaskerBench, masker: MaskerConfig) -> dict[str, Any]:
    """What figures depend on besides what is varied: rows of one folder must have it in common."""
    own = {f"bench.{k}": v for k, v in vars(bench).items() if k not in {*VARIED, "batches", "out"}}
    options = {f"masker.{k}": v for k, v in vars(masker).items() if k not in VARIED.values()}
    return own | options


def _name(dtype: Any) -> str:
    return {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}[str(dtype)[6:]]


if __name__ == "__main__":
    print(json.dumps(measure(Request(**json.load(sys.stdin)))))
