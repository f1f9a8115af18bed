"""Small stand-ins for what the masker needs: random models, a reference, a scripted segmenter."""

from __future__ import annotations

import copy

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import Dinov2Config, Dinov2Model, Sam2Config, Sam2Model

from samg_ros.masking.reference import Reference, Target, View
from samg_ros.models.base import Embedding, Prompts
from samg_ros.models.dinov2 import Dinov2Features
from samg_ros.models.sam2 import Sam2Segmenter

CPU = torch.device("cpu")
SIZE = 128
FEATURE_SIZE = 112
DINO_LAYERS = 4
# Scripted and random masks hold whatever they hold.
ANY_LIKENESS = {"min_likeness": -1.0, "lost_likeness": -1.0, "rivals": False}
# The steps as published; several views and any models.
PUBLISHED = {"clicks": False, "agreement": 0.0, "zoom": False, **ANY_LIKENESS}


def sam2(size: int) -> Sam2Model:
    """SAM 2 Hiera-Tiny for an input size, its weights random (torch's seed)."""
    sizes = [[size // stride] * 2 for stride in (4, 8, 16)]
    config = Sam2Config(
        vision_config={"backbone_feature_sizes": sizes},
        prompt_encoder_config={"image_size": size},
    )
    return Sam2Model(config).eval()


def random_sam2(seed: int = 0) -> Sam2Model:
    """Hiera-Tiny at 128 px with an embedding for "no memory", as a trained one has."""
    torch.manual_seed(seed)
    model = sam2(SIZE)
    torch.nn.init.normal_(model.no_memory_embedding)
    return model


def random_dino(seed: int = 0) -> Dinov2Model:
    """A narrow DINOv2 of four layers."""
    torch.manual_seed(seed)
    config = Dinov2Config(
        hidden_size=64, num_attention_heads=4, num_hidden_layers=DINO_LAYERS, patch_size=14
    )
    return Dinov2Model(config).eval()


def segmenter_of(model: Sam2Model) -> Sam2Segmenter:
    return Sam2Segmenter(model, SIZE, CPU, torch.float32)


def features_of(model: Dinov2Model, layer: int) -> Dinov2Features:
    """The extractor drops layers of its model: it gets a copy."""
    return Dinov2Features(copy.deepcopy(model), layer, FEATURE_SIZE, CPU, torch.float32)


def scene(seed: int, height: int, width: int) -> np.ndarray:
    """A picture of smooth random colours, uint8 [H, W, 3]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 9, 9, generator=generator)
    fine = F.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)[0]
    return (fine.permute(1, 2, 0) * 255).byte().numpy()


def disk(height: int, width: int, x: float, y: float, radius: float) -> np.ndarray:
    """Bool [H, W], True around (x, y)."""
    ys, xs = np.mgrid[:height, :width]
    return (xs - x) ** 2 + (ys - y) ** 2 <= radius**2


def points(*pairs: tuple[float, float]) -> np.ndarray:
    """(x, y) pairs, float32 [P, 2]; none gives [0, 2]."""
    return np.array(pairs, np.float32).reshape(-1, 2)


def one_view(height: int = 60, width: int = 80) -> Reference:
    """A ball and a cup in one picture, each with two part points."""
    ball = disk(height, width, 20, 20, 9)
    cup = disk(height, width, 55, 40, 14)
    targets = (
        Target("ball", ball, points((20, 20), (24.5, 17))),
        Target("cup", cup, points((55, 40), (60, 44))),
    )
    return Reference((View(scene(1, height, width), targets),))


def two_targets(height: int = 60, width: int = 80) -> Reference:
    """Two views. The ball has two part points and is in both, the cup has none and is in one."""
    ball = Target("ball", disk(height, width, 20, 20, 9), points((20, 20), (24.5, 17)))
    cup = Target("cup", disk(height, width, 55, 40, 14), points())
    moved = Target("ball", disk(height, width, 60, 30, 9), points((58, 33), (64, 28)))
    return Reference(
        (View(scene(1, height, width), (ball, cup)), View(scene(2, height, width), (moved,)))
    )


class ScriptedSegmenter:
    """Answers every decode with the same masks and scores, and keeps the prompts it was given.

    Cells are compared by colour. ``logits``: float [T, 3, 16, 16]. ``scores``: float [B, T, 3].
    """

    input_size = 64
    mask_size = 16
    device = CPU

    def __init__(self, targets: int) -> None:
        self.logits = torch.ones(targets, 3, self.mask_size, self.mask_size)
        self.scores = torch.ones(1, targets, 3)
        self.prompts: list[Prompts] = []

    def encode(self, images: Tensor) -> Embedding:
        cells = F.adaptive_avg_pool2d(images, 16)
        return Embedding(features=cells, correspondence=cells)

    def decode(self, embedding: Embedding, prompts: Prompts) -> tuple[Tensor, Tensor]:
        self.prompts.append(prompts)
        batch = len(embedding.features)
        return self.logits.expand(batch, -1, -1, -1, -1), self.scores.expand(batch, -1, -1)

    def to_image(self, logits: Tensor, height: int, width: int) -> Tensor:
        return F.interpolate(logits, (height, width), mode="nearest")
