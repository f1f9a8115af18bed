"""Segmenters and feature extractors by name.

An entry is a factory ``(path | None, input_size, device, dtype)``. None gives random weights, an
input size of 0 the model's own (its module's ``SIZES``); a device of ``meta`` gives shapes without
numbers.
"""

from samg_ros.registry import Registry

models: Registry = Registry(
    "model",
    (
        "samg_ros.models.sam2",
        "samg_ros.models.sam_vit",
        "samg_ros.models.mobile_sam",
        "samg_ros.models.efficientvit_sam",
        "samg_ros.models.dinov2",
    ),
)
