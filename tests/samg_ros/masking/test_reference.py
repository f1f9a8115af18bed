"""References: what is refused, what is kept, and the points on their parts."""

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
from samg_ros.masking.correspondence import reference_features, view_masks
from samg_ros.masking.reference import (
    Reference,
    Target,
    View,
    find_reference,
    part_points,
    shipped_reference,
)

quick = settings(deadline=None, max_examples=40, derandomize=True)
SHIPPED = sorted(path.stem for path in shipped_reference("any").parent.glob("*.npz"))


pytestmark = pytest.mark.usefixtures("one_thread")


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
        assert Reference.load(task).names == reference.names
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

    @pytest.mark.parametrize("folder", ["", "elsewhere/"])
    def test_a_file_that_is_not_there(self, folder: str):
        with pytest.raises(InvalidReferenceError, match="one of adroit_door, adroit_hammer"):
            find_reference(f"{folder}missing.npz")

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


@pytest.mark.parametrize("name", ["", "x" * 65, "a\0b", "\x1b[31mred", "two\nlines", "\ud800", 7])
def test_names_are_printable_text(name: object) -> None:
    rgb, mask = np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), bool)
    with pytest.raises(InvalidReferenceError, match="a target cannot be called") as caught:
        Reference.from_masks(rgb, {name: mask})  # type: ignore[dict-item]
    assert len(str(caught.value)) < 200 and str(caught.value).isprintable()


def test_points_are_real_numbers() -> None:
    target = Target("cup", np.ones((8, 8), bool), np.array([[1 + 2j, 3]]))
    with pytest.raises(InvalidReferenceError, match="complex128, not real numbers"):
        View(np.zeros((8, 8, 3), np.uint8), (target,))


def test_a_header_that_is_deep_is_no_reference(tmp_path: Path) -> None:
    path = tmp_path / "deep.npz"
    np.savez_compressed(path, header=np.array("[" * 100_000))
    with pytest.raises(InvalidReferenceError, match="not a readable reference"):
        Reference.load(path)


@pytest.mark.parametrize(
    ("masks", "more", "reason"),
    [
        ({"cup": np.ones((8, 8, 3))}, {}, r"is \[8, 8, 3\]; give one value for each pixel"),
        (np.ones((8, 8), bool), {}, "masks are given by target"),
        ({"cup": np.ones((8, 8), bool)}, {"points": {"cup": "x"}}, "are no numbers"),
        ({"cup": np.ones((8, 8), bool)}, {"parts": -1}, "parts is -1"),
        ({"cup": np.ones((8, 8), bool)}, {"parts": 2.5}, "parts is 2.5"),
    ],
)
def test_what_makes_no_reference_is_told(masks: dict, more: dict, reason: str) -> None:
    with pytest.raises(InvalidReferenceError, match=reason):
        Reference.from_masks(np.zeros((8, 8, 3), np.uint8), masks, **more)
