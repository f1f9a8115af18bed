"""The masking room, piece by piece: from geometry and references to prompts and statuses."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import masking_fixtures as small
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from samg_ros.errors import InvalidReferenceError
from samg_ros.masking.config import MaskerConfig
from samg_ros.masking.correspondence import best_views, likeness, similarity, target_features
from samg_ros.masking.geometry import WHOLE_FRAME, boxes_of, inside, peak
from samg_ros.masking.lost import LostFrames
from samg_ros.masking.masker import SamgMasker
from samg_ros.masking.memory import reference_features, view_masks
from samg_ros.masking.reference import (
    Reference,
    Target,
    View,
    find_reference,
    part_points,
    shipped_reference,
)
from samg_ros.masking.result import FOUND, LOST, LOW_CONFIDENCE, MaskBatch
from samg_ros.masking.scale_weights import learn_scale_weights

quick = settings(deadline=None, max_examples=40, derandomize=True)
sides = st.integers(1, 700)
SHIPPED = sorted(path.stem for path in shipped_reference("any").parent.glob("*.npz"))


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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


class TestScaleWeights:
    @staticmethod
    def decodes(scales: list[int], variants: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits [K, T, 3, 16, 16] of which, for each target, one scale equals its mask."""
        generator = torch.Generator().manual_seed(1)
        masks = (torch.rand(len(scales), 16, 16, generator=generator) > 0.7).float()
        logits = torch.randn(variants, len(scales), 3, 16, 16, generator=generator)
        for target, scale in enumerate(scales):
            logits[:, target, scale] = masks[target] * 8 - 4
        return logits, masks.expand(variants, -1, -1, -1)

    def test_converge_toward_the_scale_that_equals_the_mask(self):
        logits, masks = self.decodes([0, 1, 2])
        present = torch.ones(2, 3, dtype=torch.bool)
        before = torch.full((3,), 1 / 3)
        for steps in (60, 240):
            weights = learn_scale_weights(logits, masks, present, steps)
            torch.testing.assert_close(weights.sum(1), torch.ones(3))
            assert weights.argmax(1).tolist() == [0, 1, 2]
            assert (weights.diagonal() > before + 0.02).all()
            before = weights.diagonal()

    def test_no_steps_keep_the_scales_equal(self):
        logits, masks = self.decodes([1])
        weights = learn_scale_weights(logits, masks, torch.ones(2, 1, dtype=torch.bool), 0)
        torch.testing.assert_close(weights, torch.full((1, 3), 1 / 3))

    def test_views_without_the_target_do_not_count(self):
        logits, masks = self.decodes([2, 1])
        logits[1], masks = logits[1].flip(1), masks.clone()
        masks[1] = 0
        seen_once = torch.tensor([[True, False], [False, False]])
        weights = learn_scale_weights(logits, masks, seen_once, 100)
        assert weights[0].argmax() == 2
        torch.testing.assert_close(weights[1], torch.full((3,), 1 / 3), atol=2e-3, rtol=0)

    def test_targets_do_not_influence_each_other(self):
        logits, masks = self.decodes([0, 2])
        present = torch.ones(2, 2, dtype=torch.bool)
        both = learn_scale_weights(logits, masks, present, 40)
        alone = learn_scale_weights(logits[:, 1:], masks[:, 1:], present[:, 1:], 40)
        torch.testing.assert_close(both[1:], alone)

    def test_learns_from_inference_tensors(self):
        with torch.inference_mode():
            logits, masks = self.decodes([1])
            present = torch.ones(2, 1, dtype=torch.bool)
            weights = learn_scale_weights(logits, masks, present, 20)
        assert weights[0, 1] > 1 / 3 and not weights.requires_grad


class TestReferenceFeatures:
    def test_targets_of_different_part_counts_and_views(self):
        reference = small.two_targets()
        generator = torch.Generator().manual_seed(0)
        maps = [[torch.randn(1, c, 6, 6, generator=generator) for c in (5, 7)] for _ in range(2)]
        known = reference_features(reference, maps, grid=12)
        assert [v.shape for v in known.vectors] == [(2, 2, 3, 5), (2, 2, 3, 7)]
        assert known.present.tolist() == [[True, True], [True, False]]
        for vectors in known.vectors:
            torch.testing.assert_close(vectors[known.present].norm(dim=-1), torch.ones(3, 3))
            assert not vectors[1, 1].any()
            # The cup has no part points: one in its middle stands for each.
            torch.testing.assert_close(vectors[1, 0, 1], vectors[1, 0, 2])

    def test_no_part_points_at_all(self):
        view = small.two_targets().views[0]
        bare = tuple(dataclasses.replace(t, points=small.points()) for t in view.targets)
        maps = [[torch.ones(1, 4, 6, 6)]]
        known = reference_features(Reference((View(view.image, bare),)), maps, grid=12)
        assert known.vectors[0].shape == (2, 1, 1, 4)

    def test_masks_to_learn_from(self):
        reference = small.two_targets()
        masks = view_masks(reference, 30, 40, small.CPU)
        assert masks.shape == (2, 2, 30, 40) and set(masks.unique().tolist()) == {0, 1}
        assert not masks[1, 1].any()
        expected = small.disk(30, 40, 9.75, 9.75, 4.5)
        assert (masks[0, 0].numpy() == expected).mean() > 0.98

    def test_a_thin_target_keeps_a_mask_to_learn_from(self):
        """A pole 2 px wide on a 640x480 frame, whose scale weights are learned at 128x96."""
        pole = np.zeros((480, 640), bool)
        pole[100:400, 322:324] = True
        target = Target("pole", pole, small.points((322, 200)))
        reference = Reference((View(np.zeros((480, 640, 3), np.uint8), (target,)),))
        assert view_masks(reference, 96, 128, small.CPU).any()


def one_view(**changes) -> View:
    """A valid view of 30x40 pixels with one target, less what ``changes`` say of the target."""
    about = {
        "name": "ball",
        "mask": small.disk(30, 40, 20, 15, 6),
        "points": small.points((20, 15)),
    }
    return View(small.scene(0, 30, 40), (Target(**{**about, **changes}),))


class TestReference:
    def test_survives_a_round_trip(self, tmp_path: Path):
        before = Reference(small.two_targets(61, 83).views, {"task": "ball", "seed": 7})
        path = tmp_path / "new" / "reference.npz"
        before.save(path)
        after = Reference.load(path)
        assert after.about == before.about and after.names == before.names == ("ball", "cup")
        for one, other in zip(before.views, after.views, strict=True):
            np.testing.assert_array_equal(one.image, other.image)
            for left, right in zip(one.targets, other.targets, strict=True):
                assert left.name == right.name and right.mask.dtype == np.bool_
                np.testing.assert_array_equal(left.mask, right.mask)
                np.testing.assert_array_equal(left.points, right.points)

    @pytest.mark.parametrize("task", SHIPPED)
    def test_shipped_ones_are_valid(self, task: str):
        reference = Reference.load(find_reference(task))
        assert reference.about["task"] == task and reference.names
        for target in (t for view in reference.views for t in view.targets):
            columns, rows = target.points.astype(int).T
            assert target.mask[rows, columns].all(), (target.name, "point off the mask")

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            pytest.param({"mask": np.zeros((30, 40), bool)}, "'ball' is empty", id="empty mask"),
            pytest.param({"mask": np.ones((40, 30), bool)}, r"\(40, 30\).*\(30, 40\)", id="size"),
            pytest.param({"mask": np.ones((30, 40), np.uint8)}, "uint8.*must be bool", id="dtype"),
            pytest.param({"points": small.points((40, 3))}, r"\[40.0, 3.0\].*40x30", id="right"),
            pytest.param({"points": small.points((3, -0.6))}, "lies outside", id="above"),
            pytest.param({"points": small.points((np.nan, 3))}, "not all finite", id="NaN"),
            pytest.param({"points": small.points((np.inf, 3))}, "not all finite", id="infinite"),
            pytest.param({"points": np.zeros((2, 3))}, r"must be \[P, 2\]", id="three columns"),
            pytest.param({"points": np.zeros(2)}, r"must be \[P, 2\]", id="one dimension"),
        ],
    )
    def test_a_bad_target_is_refused(self, changes: dict, reason: str):
        with pytest.raises(InvalidReferenceError, match=reason):
            one_view(**changes)

    def test_points_on_the_border_are_fine(self):
        assert one_view(points=small.points((0, 0), (39, 29)))

    def test_a_bad_picture_or_set_of_targets_is_refused(self):
        target = one_view().targets[0]
        for image in (np.zeros((30, 40), np.uint8), np.zeros((30, 40, 4), np.uint8)):
            with pytest.raises(InvalidReferenceError, match="give RGB, uint8"):
                View(image, (target,))
        with pytest.raises(InvalidReferenceError, match="float64"):
            View(np.zeros((30, 40, 3)), (target,))
        with pytest.raises(InvalidReferenceError, match="at least one target"):
            View(np.zeros((30, 40, 3), np.uint8), ())
        with pytest.raises(InvalidReferenceError, match=r"must differ.*'ball', 'ball'"):
            View(np.zeros((30, 40, 3), np.uint8), (target, target))
        with pytest.raises(InvalidReferenceError, match="at least one view"):
            Reference(())

    @pytest.mark.parametrize("part", [0.0, 0.3, 0.6, 0.99])
    def test_a_truncated_file_is_refused(self, tmp_path: Path, part: float):
        path = tmp_path / "torn.npz"
        small.two_targets().save(path)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * part)])
        with pytest.raises(InvalidReferenceError, match=r"torn\.npz is not a readable reference"):
            Reference.load(path)

    def test_another_format_version_is_refused(self, tmp_path: Path):
        path = rewritten(tmp_path, lambda arrays, header: header.update(format=2))
        with pytest.raises(InvalidReferenceError, match="format 2; this version reads 1"):
            Reference.load(path)

    def test_what_is_no_reference_is_refused(self, tmp_path: Path):
        text = tmp_path / "text.npz"
        text.write_text("not an archive")
        other = tmp_path / "other.npz"
        np.savez(other, weights=np.zeros(3))
        for path in (text, other, tmp_path):
            with pytest.raises(InvalidReferenceError, match="not a readable reference"):
                Reference.load(path)
        with pytest.raises(InvalidReferenceError, match=r"no reference at .*make one"):
            Reference.load(tmp_path / "missing.npz")

    def test_a_bare_array_is_refused(self, tmp_path: Path):
        np.save(tmp_path / "array.npy", np.zeros(3))
        with pytest.raises(InvalidReferenceError):
            Reference.load(tmp_path / "array.npy")

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param(lambda arrays, header: header.pop("about"), id="no about"),
            pytest.param(lambda arrays, header: header.update(names=3), id="names"),
            pytest.param(lambda arrays, header: arrays.update(image_0=np.zeros(5)), id="image"),
            pytest.param(
                lambda arrays, header: arrays.update(mask_0_0=np.zeros((30, 40))), id="mask"
            ),
        ],
    )
    def test_inconsistent_contents_are_refused(self, tmp_path: Path, change: Callable):
        with pytest.raises(InvalidReferenceError):
            Reference.load(rewritten(tmp_path, change))

    def test_a_damaged_file_is_refused(self, tmp_path: Path):
        """One byte of the compressed data changed, in 300 ways."""
        path = tmp_path / "reference.npz"
        Reference((one_view(),)).save(path)
        whole, rng = path.read_bytes(), np.random.default_rng(0)
        for place in rng.integers(len(whole), size=300):
            damaged = bytearray(whole)
            damaged[place] ^= int(rng.integers(1, 256))
            path.write_bytes(damaged)
            # A changed date or name of an entry does no harm: then it loads.
            try:
                Reference.load(path)
            except InvalidReferenceError as error:
                assert "not a readable reference" in str(error)

    def test_finding_by_path_and_by_task(self, tmp_path: Path):
        path = tmp_path / "mine.npz"
        Reference((one_view(),)).save(path)
        assert find_reference(str(path)) == path
        assert find_reference("adroit_door") == shipped_reference("adroit_door")
        with pytest.raises(InvalidReferenceError, match=r"'nothing'.*adroit_door.*walker_walk"):
            find_reference("nothing")
        with pytest.raises(InvalidReferenceError, match="set the parameter 'reference'"):
            find_reference("")


def rewritten(folder: Path, change: Callable[[dict, dict], object]) -> Path:
    """A valid file after ``change`` of its arrays and of its header."""
    path = folder / "changed.npz"
    Reference((one_view(),)).save(path)
    with np.load(path) as file:
        arrays = dict(file)
    header = json.loads(str(arrays["header"]))
    change(arrays, header)
    np.savez(path, **{**arrays, "header": np.array(json.dumps(header))})
    return path


class TestPartPoints:
    @quick
    @given(st.integers(1, 8), st.integers(0, 10_000))
    def test_are_pixels_of_the_mask(self, count, seed):
        rng = np.random.default_rng(seed)
        mask = np.zeros((50, 70), bool)
        for _ in range(3):
            x, y, radius = rng.uniform(5, 65), rng.uniform(5, 45), rng.uniform(3, 12)
            mask |= small.disk(50, 70, x, y, radius)
        points = part_points(mask, count)
        assert points.shape == (count, 2) and points.dtype == np.float32
        columns, rows = points.astype(int).T
        assert mask[rows, columns].all()
        np.testing.assert_array_equal(points, part_points(mask, count))

    def test_lie_off_the_edge_and_apart(self):
        mask = np.zeros((40, 100), bool)
        mask[10:30, 10:90] = True
        points = part_points(mask, 4)
        inner = np.zeros_like(mask)
        inner[11:29, 11:89] = True
        assert inner[points[:, 1].astype(int), points[:, 0].astype(int)].all()
        assert np.diff(np.sort(points[:, 0])).min() > 10

    def test_counts_at_the_ends(self):
        mask = small.disk(20, 20, 10, 10, 6)
        assert part_points(mask, 0).shape == (0, 2)
        single = np.zeros((9, 9), bool)
        single[4, 6] = True
        assert part_points(single, 3).tolist() == [[6.0, 4.0]]
        line = np.zeros((9, 30), bool)
        line[5, 3:27] = True
        assert set(part_points(line, 3)[:, 1]) == {5.0}

    def test_a_thin_part_has_its_point(self):
        """A cart with a pole 2 px wide, which is half of the whole length."""
        mask = np.zeros((100, 100), bool)
        mask[70:90, 30:60] = True
        mask[5:70, 45:47] = True
        assert (part_points(mask, 3)[:, 1] < 60).any()


class TestLostFrames:
    good = small.disk(8, 10, 4, 4, 2)
    nothing = np.zeros((8, 10), bool)

    @pytest.mark.parametrize("behaviour", ["hold", "passthrough", "blank"])
    def test_a_found_mask_is_applied_as_it_is(self, behaviour):
        np.testing.assert_array_equal(LostFrames(behaviour)(self.good, lost=False), self.good)

    def test_hold_keeps_the_last_found_one(self):
        lost = LostFrames("hold")
        assert not lost(self.nothing, lost=True).any()
        lost(~self.good, lost=False)
        lost(self.good, lost=False)
        for _ in range(3):
            np.testing.assert_array_equal(lost(self.nothing, lost=True), self.good)

    def test_hold_is_blank_for_a_frame_of_another_size(self):
        lost = LostFrames("hold")
        lost(self.good, lost=False)
        held = lost(np.zeros((4, 5), bool), lost=True)
        assert held.shape == (4, 5) and not held.any()

    def test_passthrough_and_blank(self):
        through, blank = LostFrames("passthrough"), LostFrames("blank")
        for lost in (through, blank):
            lost(self.good, lost=False)
        assert through(self.nothing, lost=True).all()
        assert not blank(self.nothing, lost=True).any()


def scripted(**options) -> tuple[SamgMasker, small.ScriptedSegmenter]:
    """A masker of two targets whose decodes are scripted, and the script."""
    segmenter = small.ScriptedSegmenter(targets=2)
    config = MaskerConfig(device="cpu", scale_steps=0, features="none", **options)
    masker = SamgMasker(segmenter, None, small.two_targets(), config)
    segmenter.prompts.clear()
    return masker, segmenter


def frames_of(count: int, height: int = 60, width: int = 80) -> torch.Tensor:
    return torch.from_numpy(np.stack([small.scene(s, height, width) for s in range(count)]))


@pytest.fixture(scope="module")
def graded() -> MaskBatch:
    """Scores of five frames' (ball, cup); the ball fills the left half, the cup all."""
    masker, script = scripted(min_score=0.5, lost_score=0.25, **small.ANY_LIKENESS)
    script.logits[0, :, :, 8:] = -1
    table = [(0.9, 0.7), (0.9, 0.4), (0.9, 0.1), (0.3, 0.2), (0.1, 0.0)]
    script.scores = torch.tensor(table)[..., None].expand(-1, -1, 3)
    return masker(frames_of(5))


class TestStatuses:
    def test_of_targets_and_frames(self, graded: MaskBatch):
        assert graded.status.dtype == torch.int8
        assert graded.status.tolist() == [
            [FOUND, FOUND],
            [FOUND, LOW_CONFIDENCE],
            [FOUND, LOST],
            [LOW_CONFIDENCE, LOST],
            [LOST, LOST],
        ]
        found, low, lost = FOUND, LOW_CONFIDENCE, LOST
        assert graded.frame_status.tolist() == [found, low, low, low, lost]

    def test_score_is_the_worst_of_what_was_found(self, graded: MaskBatch):
        assert graded.score.tolist() == pytest.approx([0.7, 0.4, 0.9, 0.3, 0.0])
        assert graded.scores[4].tolist() == pytest.approx([0.1, 0.0])

    def test_lost_targets_masks_are_blank(self, graded: MaskBatch):
        left = torch.arange(80).expand(60, 80) < 40
        covered = graded.target_masks.flatten(2).float().mean(2).tolist()
        assert covered == [[0.5, 1], [0.5, 1], [0.5, 0], [0.5, 0], [0, 0]]
        assert torch.equal(graded.mask, graded.target_masks.any(1))
        assert torch.equal(graded.mask[2], left) and not graded.mask[4].any()

    def test_rgb_is_the_frame_under_the_mask(self, graded: MaskBatch):
        frames = frames_of(5)
        assert graded.rgb.dtype == torch.uint8
        assert torch.equal(graded.rgb, torch.where(graded.mask[..., None], frames, 0))

    def test_thresholds_themselves_suffice(self):
        masker, script = scripted(min_score=0.5, lost_score=0.25, **small.ANY_LIKENESS)
        script.scores = torch.tensor([[0.5, 0.25]])[..., None].expand(-1, -1, 3)
        assert masker(frames_of(1)).status.tolist() == [[FOUND, LOW_CONFIDENCE]]

    def test_an_empty_mask_is_lost_however_sure_the_model_is(self):
        masker, script = scripted(**small.ANY_LIKENESS)
        script.logits[1] = -1
        batch = masker(frames_of(1))
        assert batch.status.tolist() == [[FOUND, LOST]] and batch.score.tolist() == [1.0]


class TestPrompts:
    def test_of_each_decode(self):
        masker, script = scripted(**small.PUBLISHED)
        script.logits[0, :, 4:8, 2:10] = 2
        script.logits[0, :, :4] = script.logits[0, :, 8:] = -1
        script.logits[0, :, 4:8, :2] = script.logits[0, :, 4:8, 10:] = -1
        batch = masker(frames_of(2))
        first, second, third = script.prompts
        assert first.labels[0, 0].tolist() == [1, 0, 1, 1]
        assert second.labels[0, 0].tolist() == [1, 0, 1, 1, 0]
        assert third.labels[0, 0].tolist() == batch.labels[0, 0].tolist() == [1, 0, 1, 1, 0, 0]
        assert first.boxes is None and first.masks is None
        # Cells 2 to 9 across of 5 px each, 4 to 7 down of 3.75 px: the middles of their pixels.
        box = [10.5 / 80, 15.5 / 60, 49.5 / 80, 29.5 / 60]
        for prompts in (second, third):
            assert prompts.boxes.shape == (2, 2, 4)
            assert prompts.boxes[1, 0].tolist() == pytest.approx(box)
            assert prompts.masks.shape == (2, 2, 16, 16)
            added = prompts.points[:, 0, -1]
            assert (added >= torch.tensor(box[:2]) - 1e-6).all()
            assert (added <= torch.tensor(box[2:]) + 1e-6).all()

    def test_the_first_mask_is_the_weighted_sum(self):
        masker, script = scripted(refine_steps=0, **small.PUBLISHED)
        left, right = torch.full((2, 16, 16), -1.0)
        left[:, :8] = right[:, 8:] = 1.5
        script.logits[0] = torch.stack([left, right, right])
        script.scores = torch.tensor([[[0.3, 0.6, 0.9], [0.9, 0.9, 0.9]]])
        batch = masker(frames_of(1))
        assert torch.equal(batch.target_masks[0, 0], torch.arange(80).expand(60, 80) >= 40)
        assert float(batch.scores[0, 0]) == pytest.approx(0.6)

    def test_refined_masks_are_those_of_best_predicted_iou(self):
        masker, script = scripted(refine_steps=1, **small.ANY_LIKENESS)
        script.logits[:] = -1
        script.logits[0, 2, :8] = script.logits[1, 0, 8:] = 1
        script.scores = torch.tensor([[[0.3, 0.6, 0.9], [0.8, 0.1, 0.2]]])
        batch = masker(frames_of(1))
        upper = torch.arange(60)[:, None].expand(60, 80) < 30
        assert torch.equal(batch.target_masks[0], torch.stack([upper, ~upper]))
        assert batch.scores[0].tolist() == pytest.approx([0.9, 0.8])


@pytest.fixture(scope="module", params=["two maps", "features='none'"])
def random_masker(request) -> SamgMasker:
    features = None
    if request.param == "two maps":
        features = small.features_of(small.random_dino(), layer=2)
    config = MaskerConfig(
        device="cpu",
        precision="fp32",
        input_size=small.SIZE,
        feature_size=small.FEATURE_SIZE,
        scale_steps=5,
        features="none" if features is None else "dinov2_small",
        lost_score=0.0,
        lost_likeness=-1.0,
        rivals=False,
    )
    segmenter = small.segmenter_of(small.random_sam2())
    return SamgMasker(segmenter, features, small.two_targets(), config)


class TestRandomModels:
    @pytest.mark.parametrize("size", [(60, 80), (96, 33)])
    def test_a_batch_equals_its_frames_one_by_one(self, random_masker: SamgMasker, size):
        frames = frames_of(3, *size)
        together = random_masker(frames)
        for b in range(3):
            alone = random_masker(frames[b : b + 1])
            torch.testing.assert_close(together.points[b], alone.points[0])
            torch.testing.assert_close(together.scores[b], alone.scores[0], atol=1e-4, rtol=0)
            assert (together.target_masks[b] == alone.target_masks[0]).float().mean() > 0.99

    def test_shapes_and_types(self, random_masker: SamgMasker):
        frames = frames_of(2, 45, 70)
        before = frames.clone()
        batch = random_masker(frames)
        assert torch.equal(frames, before)
        assert batch.rgb.shape == (2, 45, 70, 3) and batch.rgb.dtype == torch.uint8
        assert batch.mask.shape == (2, 45, 70) and batch.mask.dtype == torch.bool
        assert batch.target_masks.shape == (2, 2, 45, 70)
        assert batch.scores.shape == batch.status.shape == (2, 2)
        # Two of the whole, two of parts, and three with each refinement.
        assert batch.points.shape == (2, 2, 10, 2) and batch.labels.shape == (2, 2, 10)
        assert ((batch.points > 0) & (batch.points < 1)).all()

    def test_the_same_twice(self, random_masker: SamgMasker):
        one, other = random_masker(frames_of(1)), random_masker(frames_of(1))
        assert torch.equal(one.target_masks, other.target_masks)
        assert torch.equal(one.scores, other.scores)
