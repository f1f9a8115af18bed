"""Every parameter of the method, with its only default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from samg_ros.errors import ConfigError
from samg_ros.parameters import documented, parameter, parameters_of, validate

LostBehaviour = Literal["hold", "passthrough", "blank"]
LOST_BEHAVIOURS: tuple[LostBehaviour, ...] = ("hold", "passthrough", "blank")
"""What a frame may become when every target is lost."""

ONLY = ""
"""The name of a camera that needs none, being the only one."""

PART_POINTS = 5
"""Part points that are found on each target of a reference."""

EXTENTS = ("auto", "part", "whole")
"""Which of the masks that agree with clicks is taken: by predicted IoU, the smallest, the
largest."""

# SAM-G as published. Its models are another matter: EfficientViT-SAM-L1 and DINOv2 ViT-B/14.
PAPER: dict[str, Any] = {
    "views": 1,
    "parts": True,
    "negatives": True,
    "clicks": False,
    "agreement": 0.0,
    "zoom": False,
    "refine_steps": 2,
    "scale_steps": 1000,
    "feature_size": 448,
    "min_likeness": -1.0,
    "lost_likeness": -1.0,
    "rivals": False,
}


@documented
@dataclass(frozen=True)
class MaskerConfig:
    """How frames are masked.

    :raises ConfigError: a value out of range, or one that contradicts ``method: paper``.
    """

    method: str = parameter(
        "best",
        "'paper' sets the method's steps as published, 'best' leaves them as given",
        choices=("best", "paper"),
    )
    segmenter: str = parameter("sam2_hiera_tiny", "segmentation model")
    features: str = parameter("dinov2_small", "second feature model, or 'none'")
    segmenter_weights: str = parameter("", "file of the segmenter's weights; empty finds them")
    features_weights: str = parameter("", "file of the feature model's weights; empty finds them")
    device: str = parameter("auto", "torch device: auto, cpu, cuda, cuda:1, ...")
    precision: str = parameter(
        "auto",
        "number type of image encoders and mask decoder",
        choices=("auto", "fp32", "bf16", "fp16"),
    )
    input_size: int = parameter(
        0,
        "side of the segmenter's square input; 0 takes the model's own (see `samg models`)",
        unit="px",
        low=0,
        high=2048,
    )
    feature_size: int = parameter(
        224, "side of the second feature model's square input", unit="px", low=56, high=1022
    )
    reference_grid: int = parameter(
        64, "cells a side on which reference features are averaged", low=8, high=256
    )
    views: int = parameter(0, "views of the reference that are used; 0 uses all", low=0, high=256)
    parts: bool = parameter(True, "a positive point on each part of a target")
    negatives: bool = parameter(True, "negative points where a target is least alike")
    refine_steps: int = parameter(2, "decodes after the first one", low=0, high=4)
    clicks: bool = parameter(
        True, "a refinement clicks where the mask misses what is alike, and where it takes more"
    )
    agreement: float = parameter(
        1.0,
        "weight, beside the predicted IoU, of how a mask agrees with what is alike, when one of "
        "three is chosen; 0 chooses as published: learned weights, then the predicted IoU",
        low=0.0,
        high=10.0,
    )
    scale_steps: int = parameter(
        1000,
        "steps of learning the weights of the three mask scales (if agreement is 0)",
        low=0,
        high=10000,
    )
    zoom: bool = parameter(True, "search again, enlarged, where targets take up little of a frame")
    min_score: float = parameter(
        0.5, "predicted IoU below which a mask is low_confidence", low=0.0, high=1.0
    )
    lost_score: float = parameter(
        0.2, "predicted IoU below which a target is lost", low=0.0, high=1.0
    )
    min_likeness: float = parameter(
        0.73,
        "mean likeness of what a mask holds to the reference below which it is low_confidence "
        "(a cosine; calibrated for the default models with `samg bench masks --hide`)",
        low=-1.0,
        high=1.0,
    )
    lost_likeness: float = parameter(
        0.65,
        "mean likeness of what a mask holds below which its target is lost",
        low=-1.0,
        high=1.0,
    )
    rivals: bool = parameter(
        True, "what masks of several targets hold is the most alike one's; the others may be lost"
    )
    threads: int = parameter(0, "torch CPU threads; 0 leaves torch's default", low=0, high=256)

    def __post_init__(self) -> None:
        if self.method == "paper":
            self._take(PAPER)
        validate(self)

    def _take(self, preset: dict[str, bool | int | float]) -> None:
        defaults = {declared.name: declared.default for declared in parameters_of(self)}
        for name, value in preset.items():
            given = getattr(self, name)
            if given not in (value, defaults[name]):
                raise ConfigError(
                    f"{name} is {given}, but method 'paper' sets it to {value}; leave one out"
                )
            object.__setattr__(self, name, value)
