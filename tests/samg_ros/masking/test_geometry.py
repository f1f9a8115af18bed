"""Points, boxes and sizes in pictures; where in them cells are alike."""

from __future__ import annotations

import masking_fixtures as small
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from samg_ros.masking.correspondence import best_views, likeness, similarity, target_features
from samg_ros.masking.prompts import WHOLE_FRAME, boxes_of, inside, peak

quick = settings(deadline=None, max_examples=40, derandomize=True)
sides = st.integers(1, 700)


pytestmark = pytest.mark.usefixtures("one_thread")


class TestGeometry:
    @quick
    @given(sides, sides, st.randoms(use_true_random=False))
    def test_peak_is_the_middle_of_the_extreme_pixel(self, height, width, random):
        x, y = random.randrange(width), random.randrange(height)
        maps = torch.zeros(2, 1, height, width)
        maps[1, 0, y, x] = 3.0
        at, value = peak(maps)
        assert at.shape == (2, 1, 2) and value.tolist() == [[0.0], [3.0]]
        assert at[1, 0].tolist() == pytest.approx([(x + 0.5) / width, (y + 0.5) / height])
        lowest, value = peak(-maps, lowest=True)
        assert value.tolist() == [[0.0], [-3.0]]
        torch.testing.assert_close(lowest[1], at[1])

    def test_peak_takes_the_first_of_equals(self):
        at, _ = peak(torch.zeros(1, 4, 8))
        assert at[0].tolist() == [0.5 / 8, 0.5 / 4]

    @quick
    @given(sides, sides, st.randoms(use_true_random=False))
    def test_box_of_a_mask_holds_exactly_its_rectangle(self, height, width, random):
        x0, x1 = sorted(random.choices(range(width), k=2))
        y0, y1 = sorted(random.choices(range(height), k=2))
        mask = torch.zeros(height, width, dtype=torch.bool)
        mask[y0, x1] = mask[y1, x0] = True  # two corners are enough
        box = boxes_of(mask[None])[0]
        middles = [
            (x0 + 0.5) / width,
            (y0 + 0.5) / height,
            (x1 + 0.5) / width,
            (y1 + 0.5) / height,
        ]
        assert box.tolist() == pytest.approx(middles)
        rectangle = torch.zeros_like(mask)
        rectangle[y0 : y1 + 1, x0 : x1 + 1] = True
        assert torch.equal(inside(box, height, width), rectangle)

    def test_box_of_an_empty_mask_is_nearly_the_whole_frame(self):
        masks = torch.zeros(2, 3, 5, 7, dtype=torch.bool)
        masks[1, 2, 4, 6] = True
        boxes = boxes_of(masks)
        assert boxes.shape == (2, 3, 4)
        assert boxes[0, 0].tolist() == pytest.approx(WHOLE_FRAME)
        assert boxes[1, 2].tolist() == pytest.approx([6.5 / 7, 4.5 / 5] * 2)

    def test_inside_means_the_middle_of_the_pixel(self):
        """Of 60 rows of nearly the whole frame: the first one's middle lies at 0.0083 < 0.01."""
        assert not inside(torch.tensor(WHOLE_FRAME), 60, 60)[0].any()


class TestCorrespondence:
    def test_whole_is_the_mean_of_mean_and_maximum(self):
        """Four cells lie inside; the 100s outside are not looked at."""
        feature_map = torch.full((1, 2, 4, 4), 100.0)
        feature_map[0, 0, 1:3, 1:3] = torch.tensor([[0.0, 2.0], [2.0, 0.0]])
        feature_map[0, 1, 1:3, 1:3] = torch.tensor([[6.0, 0.0], [0.0, 6.0]])
        mask = torch.zeros(8, 8)
        mask[2:6, 2:6] = 1
        whole = target_features(feature_map, mask, torch.zeros(0, 2), grid=4)
        expected = torch.tensor([(1 + 2) / 2, (3 + 6) / 2])
        torch.testing.assert_close(whole, expected[None] / expected.norm())

    def test_parts_are_the_features_at_their_points(self):
        """On a map (x, 1) of cell middles a unit vector tells where it was taken."""
        ramp = (torch.arange(8.0) + 0.5).expand(8, 8) / 8
        feature_map = torch.stack([ramp, torch.ones(8, 8)])[None]
        points = torch.tensor([[0.25, 0.5], [0.8, 0.1], [0.0, 1.0]])
        vectors = target_features(feature_map, torch.ones(16, 16), points, grid=8)
        assert vectors.shape == (4, 2)
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(4))
        # Beyond the middle of the last cell the map goes on as it is there.
        torch.testing.assert_close(
            vectors[1:, 0] / vectors[1:, 1], torch.tensor([0.25, 0.8, 0.5 / 8])
        )

    @pytest.mark.parametrize("size", [(100, 100), (480, 640), (30, 20)])
    def test_a_target_thinner_than_a_cell_still_has_features(self, size):
        mask = torch.zeros(size)
        mask[size[0] // 2, size[1] // 2] = 1
        feature_map = torch.rand(1, 5, 16, 16, generator=torch.Generator().manual_seed(0))
        vectors = target_features(feature_map, mask, torch.zeros(0, 2), grid=16)
        assert torch.isfinite(vectors).all() and vectors.norm() == pytest.approx(1)

    @quick
    @given(st.integers(0, 1000), st.floats(-4, 4))
    def test_similarity_is_a_cosine(self, seed, exponent):
        generator = torch.Generator().manual_seed(seed)
        maps = torch.randn(2, 6, 3, 5, generator=generator) * 10**exponent
        vectors = torch.nn.functional.normalize(
            torch.randn(2, 3, 4, 6, generator=generator), dim=-1
        )
        alike = similarity(maps, vectors)
        assert alike.shape == (2, 2, 3, 4, 3, 5)
        assert alike.abs().max() <= 1 + 1e-5
        cell = maps[1, :, 2, 4]
        expected = float(cell @ vectors[1, 2, 3] / cell.norm())
        assert float(alike[1, 1, 2, 3, 2, 4]) == pytest.approx(expected, abs=1e-5)

    def test_a_cell_like_the_target_is_found(self):
        """The feature of the reference's disk points at the disk of a moved picture."""
        ring = small.disk(64, 64, 20, 44, 8)
        image = np.where(ring[..., None], np.uint8([250, 20, 20]), small.scene(0, 64, 64) // 3)
        maps = torch.from_numpy(image).permute(2, 0, 1)[None].float()
        moved = torch.roll(maps, (-20, 25), (2, 3))
        vectors = target_features(maps, torch.from_numpy(ring).float(), torch.zeros(0, 2), grid=64)
        at, value = peak(similarity(moved, vectors)[0, 0])
        assert small.disk(64, 64, 45, 24, 8)[int(at[1] * 64), int(at[0] * 64)]
        assert value == pytest.approx(1, abs=1e-3)

    def test_the_best_view_is_that_whose_parts_are_surest(self):
        alike = torch.zeros(2, 1, 3, 3, 4, 4)  # B, T, K views, whole and two parts
        alike[0, 0, 0, 0] = 0.9  # a whole does not count where there are parts
        alike[0, 0, 1, 1, 0, 0] = alike[0, 0, 1, 2, 3, 3] = 0.5
        alike[0, 0, 2, 1, 0, 0] = 0.8
        alike[1, 0, 2, :, 1, 1] = 0.1
        coarse = torch.zeros(2, 1, 3, 3, 2, 2)
        everywhere = torch.ones(1, 3, dtype=torch.bool)
        assert best_views([alike, coarse], everywhere).tolist() == [[1], [2]]
        hidden = torch.tensor([[True, False, True]])
        assert best_views([alike, coarse], hidden).tolist() == [[2], [2]]
        # A view that lacks the target is not taken, however unlike the others are.
        assert best_views([alike - 1], torch.tensor([[False, True, False]])).tolist() == [[1], [1]]

    def test_without_parts_the_whole_decides(self):
        alike = torch.zeros(1, 1, 2, 1, 3, 3)
        alike[0, 0, 1, 0, 2, 2] = 0.3
        assert best_views([alike], torch.ones(1, 2, dtype=torch.bool)).tolist() == [[1]]

    def test_likeness_is_the_mean_of_the_enlarged_maps_of_the_chosen_view(self):
        fine, coarse = torch.zeros(1, 2, 2, 1, 4, 4), torch.zeros(1, 2, 2, 1, 2, 2)
        fine[0, 1, 1], coarse[0, 1, 1] = 0.2, 0.6
        alike = likeness([fine, coarse], torch.tensor([[0, 1]]), 6, 10)
        assert alike.shape == (1, 2, 1, 6, 10)
        torch.testing.assert_close(alike[0, 1], torch.full((1, 6, 10), 0.4))
        assert not alike[0, 0].any()
