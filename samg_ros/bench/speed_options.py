"""What ``samg bench masker`` varies, and the configurations that come of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from samg_ros.errors import ConfigError
from samg_ros.masking.config import MaskerConfig
from samg_ros.parameters import documented, parameter, validate

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
    from samg_ros.bench.contenders import check, input_size
    from samg_ros.models.base import choose_device, choose_dtype

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
