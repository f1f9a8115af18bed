"""The whole masker with narrow random models, pictures for it, and what its results keep to."""

from __future__ import annotations

import dataclasses
from functools import cache

import masking_fixtures as small
import numpy as np
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from transformers import Sam2Config, Sam2Model

from samg_ros.masking.config import PAPER, MaskerConfig
from samg_ros.masking.masker import SamgMasker
from samg_ros.masking.reference import Reference, Target, View
from samg_ros.masking.result import FOUND, LOST, LOW_CONFIDENCE, MaskBatch
from samg_ros.models.base import FeatureExtractor, Segmenter
from samg_ros.models.sam import CHANNELS, SamNetwork, SamSegmenter
from samg_ros.models.sam2 import Sam2Segmenter

SIDE = 128
PATCH = 16
# By SAM 2, which squashes frames to a square, and by SAM, which pads them.
FAMILIES = ("sam2", "sam")
METHODS = ("best", "paper")
# All targets within a quarter of the picture, so that the default method looks twice; or spread.
LAYOUTS = ("near", "spread")
COUNTS = (1, 10)
KINDS = ("scene", "noise", "constant", "saturated")
REFERENCE_SIZE = 64, 96


def narrow_sam2() -> Sam2Segmenter:
    """SAM 2 with every part it has, each a few numbers wide."""
    backbone = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": 8,
        "num_attention_heads": 1,
        "blocks_per_stage": [1, 2, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 2, 4, 8],
        "window_size_per_stage": [8, 4, 8, 4],
        "global_attention_blocks": [4],
    }
    vision = {
        "backbone_config": backbone,
        "backbone_channel_list": [64, 32, 16, 8],
        "backbone_feature_sizes": [[SIDE // stride] * 2 for stride in (4, 8, 16)],
        "fpn_hidden_size": 32,
    }
    decoder = {
        "hidden_size": 32,
        "mlp_dim": 64,
        "num_attention_heads": 2,
        "iou_head_hidden_dim": 32,
    }
    prompts = {"image_size": SIDE, "hidden_size": 32}
    torch.manual_seed(0)
    model = Sam2Model(
        Sam2Config(
            vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder
        )
    )
    torch.nn.init.normal_(model.no_memory_embedding)
    _widen(model.mask_decoder)
    return Sam2Segmenter(model, SIDE, small.CPU, torch.float32)


def narrow_sam() -> SamSegmenter:
    """SAM's own prompt encoder and mask decoder behind a single convolution."""
    torch.manual_seed(0)
    network = SamNetwork(_Patches(), SIDE // PATCH)
    _widen(network.mask_decoder)
    return SamSegmenter(network, SIDE, small.CPU, torch.float32)


class _Patches(torch.nn.Module):
    """Stands for an image encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = torch.nn.Conv2d(3, CHANNELS, PATCH, PATCH)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.mix(pixels)


def _widen(decoder: torch.nn.Module) -> None:
    """Random decoders predict an IoU of a half for everything: let theirs vary."""
    for name, weights in decoder.named_parameters():
        if "iou_prediction_head" in name and weights.ndim == 2:
            torch.nn.init.normal_(weights, std=2 / weights.shape[1] ** 0.5)


@cache
def models(family: str) -> tuple[Segmenter, FeatureExtractor]:
    """A segmenter and a second map."""
    segmenter = narrow_sam2() if family == "sam2" else narrow_sam()
    return segmenter, small.features_of(small.random_dino(), layer=1)


def reference(count: int, layout: str) -> Reference:
    """Targets in a row, every other one with part points, in one or two views."""
    height, width = REFERENCE_SIZE
    row = (36, 60) if layout == "near" else (2, 94)
    xs = np.linspace(*row, count + 2)[1:-1].round()
    targets = tuple(_target(i, x, min(9, 40 / count)) for i, x in enumerate(xs.tolist()))
    first = View(small.scene(1, height, width), targets)
    return Reference((first, View(small.scene(2, height, width), targets[:1])))


def _target(number: int, x: float, radius: float) -> Target:
    height, width = REFERENCE_SIZE
    mask = small.disk(height, width, x, height // 2, radius)
    parts = small.points((x, height // 2), (x - 1, height // 2 + 1)) if number % 2 == 0 else ()
    return Target(f"target {number}", mask, small.points(*parts))


@cache
def masker(family: str, method: str, count: int, layout: str) -> SamgMasker:
    """One masker of each kind, which all examples share.

    Of ``paper`` with many targets the scale weights learn for a moment only.
    """
    options = {"device": "cpu", "precision": "fp32", "reference_grid": 16}
    if method == "best":
        # Random features are alike less than trained ones.
        config = MaskerConfig(lost_likeness=0.2, min_likeness=0.4, **options)
    elif count == 1:
        config = MaskerConfig(method="paper", **options)
    else:
        config = MaskerConfig(**{**options, **PAPER, "scale_steps": 5})
    return SamgMasker(*models(family), reference(count, layout), config)


maskers = st.builds(
    masker,
    st.sampled_from(FAMILIES),
    st.sampled_from(METHODS),
    st.sampled_from(COUNTS),
    st.sampled_from(LAYOUTS),
)


def picture(kind: str, height: int, width: int, seed: int) -> np.ndarray:
    """uint8 [H, W, 3]: smooth, noisy, of one colour, or only of channels at 0 and 255."""
    rng = np.random.default_rng(seed)
    if kind == "scene":
        return small.scene(seed, height, width)
    if kind == "constant":
        colour = rng.choice([0, 255, *rng.integers(0, 256, 2)], 3).astype(np.uint8)
        return np.broadcast_to(colour, (height, width, 3)).copy()
    noise = rng.integers(0, 256, (height, width, 3), np.uint8)
    return noise if kind == "noise" else np.where(noise > 127, np.uint8(255), np.uint8(0))


sides = st.integers(16, 150)
seeds = st.integers(0, 999)
pictures = st.builds(picture, st.sampled_from(KINDS), sides, sides, seeds)


def batches(least: int = 1, most: int = 3) -> st.SearchStrategy[np.ndarray]:
    """Pictures of one size, uint8 [B, H, W, 3]."""
    kind = st.tuples(st.sampled_from(KINDS), seeds)
    return st.builds(
        lambda height, width, some: np.stack([picture(k, height, width, s) for k, s in some]),
        sides,
        sides,
        st.lists(kind, min_size=least, max_size=most),
    )


def examples(most: int) -> settings:
    """The same ones every time; to draw a masker is to build it, which may take long."""
    # The rooms of a class share its tests, and there is no database of examples to confuse.
    fine = [HealthCheck.too_slow, HealthCheck.differing_executors]
    return settings(deadline=None, max_examples=most, derandomize=True, suppress_health_check=fine)


def check(found: MaskBatch, frames: torch.Tensor, config: MaskerConfig, targets: int) -> None:
    """What every result keeps to."""
    count, height, width, _ = frames.shape
    assert found.rgb.dtype == torch.uint8 and found.rgb.shape == frames.shape
    assert torch.equal(found.rgb, frames * found.mask[..., None])
    assert found.mask.dtype == found.target_masks.dtype == torch.bool
    assert found.target_masks.shape == (count, targets, height, width)
    assert torch.equal(found.mask, found.target_masks.any(1))
    assert found.points.shape == (*found.labels.shape, 2) and found.labels.shape[1] == targets
    assert found.labels.dtype == torch.int32 and set(found.labels.unique().tolist()) <= {0, 1}
    for field in dataclasses.fields(found):
        value = getattr(found, field.name)
        assert len(value) == count
        assert not value.is_floating_point() or value.isfinite().all(), field.name
    assert ((found.points > 0) & (found.points < 1)).all()
    check_statuses(found, config)


def check_statuses(found: MaskBatch, config: MaskerConfig) -> None:
    """A target is lost exactly where its mask is empty, and never found below a threshold."""
    assert found.status.dtype == torch.int8 and found.status.shape == found.scores.shape
    lost = found.status == LOST
    assert torch.equal(lost, ~found.target_masks.flatten(2).any(2))
    assert (found.scores[~lost] >= config.lost_score).all()
    assert (found.scores[found.status == FOUND] >= config.min_score).all()
    for b, statuses in enumerate(found.status.tolist()):
        if set(statuses) == {LOST}:
            expected, score = LOST, 0.0
        else:
            expected = FOUND if set(statuses) == {FOUND} else LOW_CONFIDENCE
            score = float(found.scores[b, ~lost[b]].min())
        assert int(found.frame_status[b]) == expected
        assert float(found.score[b]) == score


def assert_same(one: MaskBatch, other: MaskBatch) -> None:
    for field in dataclasses.fields(one):
        assert torch.equal(getattr(one, field.name), getattr(other, field.name)), field.name
