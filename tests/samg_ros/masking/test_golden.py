"""The batched masker gives what the plain rendering of the method gives, point by point."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import masking_fixtures as small
import numpy as np
import pytest
import torch
from plain_samg import PlainSamg
from safetensors.torch import load_file
from transformers import Dinov2Config, Dinov2Model, Sam2Model

from samg_ros.errors import WeightsError
from samg_ros.masking.config import MaskerConfig
from samg_ros.masking.encoders import Encoders
from samg_ros.masking.masker import Masker, build_masker
from samg_ros.masking.reference import Reference, shipped_reference
from samg_ros.masking.result import MaskResult
from samg_ros.weights.resolve import resolve

SMALL = {
    "device": "cpu",
    "precision": "fp32",
    "input_size": small.SIZE,
    "feature_size": small.FEATURE_SIZE,
    "scale_steps": 20,
    **small.PUBLISHED,
}


@dataclass
class Pair:
    """The masker under test and its plain twin, with the same weights."""

    masker: Masker
    plain: PlainSamg


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def sam() -> Sam2Model:
    return small.random_sam2()


def small_pair(sam: Sam2Model, *, layer: int | None = 2, **options) -> Pair:
    """Both with random weights. ``layer``: DINOv2's, or None to do without."""
    dino = None if layer is None else small.random_dino()
    features = None if dino is None else small.features_of(dino, layer)
    config, reference = MaskerConfig(**{**SMALL, **options}), small.two_targets()
    masker = Masker.build(Encoders(small.segmenter_of(sam), features), reference, config)
    return Pair(masker, PlainSamg(sam, dino, layer or 0, reference, config))


def never_find_anything(sam) -> None:
    """Make every mask logit negative: features all above, their weights all below zero."""
    torch.nn.init.constant_(sam.mask_decoder.upscale_conv2.bias, 20.0)
    for head in sam.mask_decoder.output_hypernetworks_mlps:
        torch.nn.init.constant_(head.proj_out.bias, -5.0)


def assert_equal(pair: Pair, frames: np.ndarray) -> MaskResult:
    """Compare a batch with the plain method's answer for each frame and target."""
    batch = pair.masker(torch.from_numpy(frames))
    height, width = frames.shape[1:3]
    for b, frame in enumerate(frames):
        encoded = pair.plain.encode(frame)
        for t, name in enumerate(pair.masker.target_names):
            expected = pair.plain.find(
                encoded, name, pair.masker._finder(None)._weights[t].numpy()
            )
            pixels = batch.points[b, t].numpy() * [width, height] - 0.5
            np.testing.assert_allclose(pixels, expected.points, atol=1e-3)
            assert batch.labels[b, t].tolist() == expected.labels
            assert float(batch.scores[b, t]) == pytest.approx(expected.score, abs=1e-3)
            assert iou(batch.target_masks[b, t].numpy(), expected.mask) > 0.99
    return batch


def iou(one: np.ndarray, other: np.ndarray) -> float:
    union = (one | other).sum()
    return (one & other).sum() / union if union else 1.0


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="as-is"),
        pytest.param({"layer": small.DINO_LAYERS}, id="last-layer"),
        pytest.param({"layer": None, "features": "none"}, id="one-map"),
        pytest.param({"refine_steps": 0}, id="no-refinement"),
        pytest.param({"refine_steps": 3, "reference_grid": 20}, id="coarse-grid"),
    ],
)
def test_equals_the_plain_method_with_random_weights(sam, options):
    pair = small_pair(sam, **options)
    # Random scores lie around a half, so that no target is lost and no mask blanked.
    assert_equal(pair, np.stack([small.scene(seed, 60, 80) for seed in (1, 5)]))


def test_equals_the_plain_method_on_larger_frames_with_fine_detail(sam):
    rng = np.random.default_rng(0)
    assert_equal(small_pair(sam), rng.integers(256, size=(3, 190, 150, 3), dtype=np.uint8))


def test_an_empty_mask_sets_the_box_to_nearly_the_whole_frame():
    sam = small.random_sam2()
    never_find_anything(sam)
    pair = small_pair(sam)
    batch = assert_equal(pair, np.stack([small.scene(seed, 120, 140) for seed in (5, 6)]))
    assert not batch.mask.any()
    # Whatever was least alike in the frame, the later negatives keep off its very edge.
    for negative in batch.points[:, :, batch.labels[0, 0] == 0].unbind(2)[1:]:
        assert ((negative > 0.01) & (negative < 0.99)).all()


@pytest.fixture(scope="module")
def real() -> tuple[Pair, Reference]:
    """The shipped weights, and three views of adroit_door's reference."""
    try:
        sam_file, dino_file = resolve("sam2_hiera_tiny"), resolve("dinov2_small")
    except WeightsError as error:
        pytest.skip(f"the weights cannot be had here: {error}")
    whole = Reference.load(shipped_reference("adroit_door"))
    reference = Reference(whole.views[:3], whole.about)
    config = MaskerConfig(
        device="cpu", precision="fp32", input_size=256, scale_steps=100, **small.PUBLISHED
    )
    sam = small.sam2(config.input_size)
    sam.load_state_dict(load_file(sam_file.path))
    dino = Dinov2Model(
        Dinov2Config(hidden_size=384, num_attention_heads=6, image_size=518, patch_size=14)
    ).eval()
    dino.load_state_dict({name: w.float() for name, w in load_file(dino_file.path).items()})
    layer = dino_file.feature_layer or dino.config.num_hidden_layers
    plain = PlainSamg(sam, dino, layer, reference, config)
    return Pair(build_masker(reference, config), plain), whole


def pasted(reference: Reference, view: int, shift: tuple[int, int], seed: int):
    """A view's targets, moved, before smooth random colours on a wider frame: rgb and mask."""
    height, width = 240, 320
    shown = reference.views[view]
    mask = np.any([target.mask for target in shown.targets], axis=0).astype(np.uint8)
    move = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
    moved = cv2.warpAffine(shown.image, move, (width, height))
    where = cv2.warpAffine(mask, move, (width, height)) > 0
    return np.where(where[..., None], moved, small.scene(seed, height, width)), where


def test_equals_the_plain_method_with_the_shipped_weights(real):
    pair, reference = real
    # Of the second frame's view, and of the third's, the masker knows nothing.
    pictures = [
        pasted(reference, 1, (45, 10), seed=1),
        pasted(reference, 3, (20, -12), seed=2),
        pasted(reference, 4, (60, 4), seed=3),
    ]
    batch = assert_equal(pair, np.stack([rgb for rgb, _ in pictures]))
    assert {int(v) for v in batch.statuses.unique()} <= {1, 2}
    overlaps = [iou(batch.mask[b].numpy(), mask) for b, (_, mask) in enumerate(pictures)]
    assert np.mean(overlaps) > 0.6, overlaps
