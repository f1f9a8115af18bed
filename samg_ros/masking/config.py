"""Every parameter of the method, with its only default."""

from __future__ import annotations

from dataclasses import dataclass

from samg_ros.parameters import documented, parameter, validate


@documented
@dataclass(frozen=True)
class MaskerConfig:
    """How frames are masked."""

    segmenter: str = parameter("sam2_hiera_tiny", "segmentation model")
    features: str = parameter("dinov2_small", "second feature model, or 'none'")
    segmenter_weights: str = parameter("", "file of the segmenter's weights; empty finds them")
    features_weights: str = parameter("", "file of the feature model's weights; empty finds them")
    device: str = parameter("auto", "torch device: auto, cpu, cuda, cuda:1, ...")
    precision: str = parameter(
        "auto",
        "number type of the image encoders",
        choices=("auto", "fp32", "bf16", "fp16"),
    )
    input_size: int = parameter(
        512, "side of the segmenter's square input", unit="px", low=128, high=2048
    )
    feature_size: int = parameter(
        224, "side of the second feature model's square input", unit="px", low=56, high=1022
    )
    reference_grid: int = parameter(
        64, "cells a side on which reference features are averaged", low=8, high=256
    )
    refine_steps: int = parameter(2, "decodes after the first one", low=0, high=4)
    scale_steps: int = parameter(
        1000, "steps of learning the weights of the three mask scales", low=0, high=10000
    )
    min_score: float = parameter(
        0.5, "predicted IoU below which a mask is low_confidence", low=0.0, high=1.0
    )
    lost_score: float = parameter(
        0.2, "predicted IoU below which a target is lost", low=0.0, high=1.0
    )
    threads: int = parameter(0, "torch CPU threads; 0 leaves torch's default", low=0, high=256)

    def __post_init__(self) -> None:
        validate(self)
