"""Mask faults: reproducible, of the strength a segmenter shows, none where none is asked for."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from sim_bridge.scenes.views import MaskNoise, MaskNoiseConfig

CLEAN = MaskNoiseConfig(
    edge_px=0, ragged_px=0, shift_px=0, lost_episode=0, lost_start=0, blank=0, stale=0, patches=0
)


@pytest.fixture
def targets() -> np.ndarray:
    """Three targets, one of them thin; uint8 [256, 256]."""
    ids = np.zeros((256, 256), np.uint8)
    ids[120:240, 60:140] = 1
    ids[0:90, 100:230] = 2
    ids[40:48, 20:100] = 3
    return ids


def iou(mask: np.ndarray, targets: np.ndarray) -> float:
    truth = targets > 0
    return (mask & truth).sum() / (mask | truth).sum()


def test_shape_dtype_and_determinism(targets: np.ndarray) -> None:
    one, two = (MaskNoise(np.random.default_rng(7)) for _ in range(2))
    for _ in range(20):
        mask = one(targets)
        assert mask.shape == (256, 256) and mask.dtype == bool
        np.testing.assert_array_equal(mask, two(targets))


def test_without_faults_the_edge_moves_by_at_most_a_pixel(targets: np.ndarray) -> None:
    noise = MaskNoise(np.random.default_rng(0), CLEAN)
    assert np.mean([iou(noise(targets), targets) for _ in range(20)]) > 0.95


def test_faults_are_as_strong_as_a_segmenters(targets: np.ndarray) -> None:
    noise = MaskNoise(np.random.default_rng(0))
    scores = []
    for _ in range(200):
        noise.reset()
        scores += [iou(noise(targets), targets) for _ in range(10)]
    # These targets are fatter than a hand, so the same faults cost them less.
    assert 0.82 < np.mean(scores) < 0.95
    assert np.percentile(scores, 90) > 0.93  # there are good frames
    assert np.percentile(scores, 2) < 0.7  # and bad ones


def test_faults_grow_with_the_picture(targets: np.ndarray) -> None:
    scores = []
    for half in (1, 2):
        noise, shown = MaskNoise(np.random.default_rng(0)), targets[::half, ::half]
        found = []
        for _ in range(60):
            noise.reset()
            found += [iou(noise(shown), shown) for _ in range(10)]
        scores.append(np.mean(found))
    # In pixels of the same number they would cost the smaller picture twice as much.
    np.testing.assert_allclose(scores[1], scores[0], atol=0.02)


def test_a_lost_single_target_is_held_not_black() -> None:
    """As the masker does with ``on_lost: hold``: speeds are read from frame to frame."""
    one = np.zeros((256, 256), np.uint8)
    one[100:160, 100:180] = 1
    noise = MaskNoise(np.random.default_rng(0), MaskNoiseConfig(lost_start=0.2, blank=0.2))
    for _ in range(20):
        noise.reset()
        masks = [noise(one) for _ in range(30)]
        seen = [mask.any() for mask in masks]
        assert all(seen[seen.index(True) :])


def test_a_quarter_of_the_faults_costs_far_less(targets: np.ndarray) -> None:
    whole, quarter = MaskNoiseConfig(), MaskNoiseConfig().scaled(0.25)
    assert quarter.edge_px == whole.edge_px / 4 and quarter.spell_frames == whole.spell_frames
    missed = []
    for config in (whole, quarter):
        noise, scores = MaskNoise(np.random.default_rng(0), config), []
        for _ in range(40):
            noise.reset()
            scores += [iou(noise(targets), targets) for _ in range(10)]
        missed.append(1 - np.mean(scores))
    assert missed[1] < 0.5 * missed[0]


def test_background_shows_through_and_targets_get_holes(targets: np.ndarray) -> None:
    noise = MaskNoise(np.random.default_rng(1))
    masks = np.array([noise(targets) for _ in range(200)])
    assert (masks & (targets == 0)).any() and (~masks & (targets > 0)).any()


def test_a_target_can_be_lost_throughout_an_episode(targets: np.ndarray) -> None:
    config = MaskNoiseConfig(lost_episode=1, lost_start=0, patches=0, stale=0, blank=0)
    noise = MaskNoise(np.random.default_rng(3), config)
    masks = np.array([noise(targets) for _ in range(30)])
    shares = [masks[:, targets == target].mean() for target in (1, 2, 3)]
    assert min(shares) < 0.1 and sorted(shares)[1] > 0.4


def test_a_stale_mask_is_the_previous_one(targets: np.ndarray) -> None:
    config = MaskNoiseConfig(stale=1, blank=0)
    noise = MaskNoise(np.random.default_rng(1), config)
    masks = [noise(targets) for _ in range(50)]
    repeats = sum(np.array_equal(a, b) for a, b in itertools.pairwise(masks))
    assert 0 < repeats < 49


def test_an_empty_segmentation_gives_an_empty_mask(targets: np.ndarray) -> None:
    noise = MaskNoise(np.random.default_rng(0), CLEAN)
    assert not noise(np.zeros_like(targets)).any()


def test_targets_at_the_border_are_fine() -> None:
    ids = np.zeros((256, 256), np.uint8)
    ids[0, 0], ids[255, 255], ids[100:, 250:] = 1, 2, 3
    noise = MaskNoise(np.random.default_rng(0))
    for _ in range(50):
        noise(ids)
