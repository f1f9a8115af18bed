"""Segmenters and feature extractors by name.

An entry is a factory ``(path | None, input_size, device, dtype)``; None gives random weights.
"""

from samg_ros.registry import Registry

models: Registry = Registry("model", ("samg_ros.models.sam2", "samg_ros.models.dinov2"))
