"""The foreground map, what clicks and choices make of it, and the search in a window."""

from __future__ import annotations

import masking_fixtures as small
import numpy as np
import pytest
import torch

from samg_ros.errors import ConfigError
from samg_ros.masking import choice
from samg_ros.masking.config import PAPER, MaskerConfig
from samg_ros.masking.encoders import Encoders
from samg_ros.masking.finder import TargetFinder
from samg_ros.masking.foreground import Foreground, ForegroundBank
from samg_ros.masking.masker import make_finder
from samg_ros.masking.prompts import first_points, refined
from samg_ros.masking.reference import Reference, Target, View
from samg_ros.masking.result import STATUS_NAMES
from samg_ros.masking.zoom import ZoomedFinder, window_side, zoomed
from samg_ros.models.base import Prompts
from samg_ros.models.sam import SamSegmenter

GRID = 16
RED, BLUE, GREY = (220, 30, 30), (30, 30, 220), (120, 120, 120)


def painted(height: int, width: int, *patches: tuple) -> np.ndarray:
    """A grey picture with coloured rectangles (rows, columns, colour)."""
    picture = np.full((height, width, 3), GREY, np.uint8)
    for rows, columns, colour in patches:
        picture[rows, columns] = colour
    return picture


def two_coloured_thing(top: int = 16, left: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """A red and blue bar of 32 x 16 px on a 128 px picture, and its mask."""
    rows, first, second = (
        slice(top, top + 16),
        slice(left, left + 16),
        slice(left + 16, left + 32),
    )
    picture = painted(128, 128, (rows, first, RED), (rows, second, BLUE))
    return picture, (picture != GREY).any(2)


def bar_reference() -> Reference:
    picture, mask = two_coloured_thing()
    return Reference((View(picture, (Target("bar", mask, small.points((20, 24))),)),))


def foreground_of(likeness: torch.Tensor) -> Foreground:
    return Foreground(likeness[None, None])


def encoders() -> Encoders:
    return Encoders(small.ScriptedSegmenter(targets=1), None)


class TestForeground:
    def test_every_piece_is_remembered_wherever_it_is(self):
        look = encoders()
        bank = ForegroundBank(
            bar_reference(),
            [look(torch.from_numpy(bar_reference().views[0].image)[None]).maps],
            GRID,
        )
        moved, mask = two_coloured_thing(top=80, left=64)
        likely = bank(look(torch.from_numpy(moved)[None]).maps).probability[0, 0] > 0.5
        cells = torch.from_numpy(mask).float()[None, None]
        assert torch.equal(
            likely, torch.nn.functional.adaptive_avg_pool2d(cells, GRID)[0, 0] > 0.5
        )

    def test_levels_are_between_median_and_highest(self):
        likeness = torch.full((GRID, GRID), 0.2)
        likeness[3, 4] = 0.8
        foreground = foreground_of(likeness)
        assert foreground.level(0.0).tolist() == [[pytest.approx(0.2)]]
        assert foreground.level(0.5).tolist() == [[pytest.approx(0.5)]]
        assert foreground.level(1.0).tolist() == [[pytest.approx(0.8)]]

    def test_targets_of_few_cells_and_of_many(self):
        """64 centres of one cell, and of all cells."""
        look = encoders()
        picture, _ = two_coloured_thing()
        dot, everything = np.zeros((2, 128, 128), bool)
        dot[70, 70] = everything[:] = True
        targets = tuple(Target(n, m, small.points()) for n, m in (("a", dot), ("b", everything)))
        reference = Reference((View(picture, targets),))
        maps = look(torch.from_numpy(picture)[None]).maps
        assert ForegroundBank(reference, [maps], GRID)(maps).likeness.isfinite().all()


class TestClicks:
    """A target of two halves; the mask has one of them, or more than both."""

    def setup_method(self):
        self.likeness = torch.full((GRID, GRID), 0.2)
        self.likeness[4:8, 2:14] = 0.9
        self.likeness[5, 12] = 0.95
        alike = torch.rand(1, 1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
        points, labels = first_points(alike, negatives=True)
        self.alike, self.prompts = alike[:, :, 0], Prompts(points, labels)

    def refine(self, mask: torch.Tensor) -> Prompts:
        return refined(
            self.prompts, mask[None, None], self.alike, False, foreground_of(self.likeness)
        )

    def test_what_is_missed_gets_a_positive_and_a_wider_box(self):
        mask = torch.zeros(64, 64, dtype=torch.bool)
        mask[16:32, 8:32] = True  # cells 4 to 7 down, 2 to 7 across
        prompts = self.refine(mask)
        assert prompts.labels[0, 0].tolist() == [1, 0, 1, 0]
        assert prompts.points[0, 0, 2].tolist() == pytest.approx([12.5 / GRID, 5.5 / GRID])
        assert float(prompts.boxes[0, 0, 2]) > 12.5 / GRID

    def test_what_is_taken_too_much_gets_a_negative(self):
        mask = torch.zeros(64, 64, dtype=torch.bool)
        mask[16:48, 8:56] = True
        self.likeness[10, 7] = 0.1
        prompts = self.refine(mask)
        assert prompts.points[0, 0, 3].tolist() == pytest.approx([7.5 / GRID, 10.5 / GRID])

    def test_a_right_mask_gets_no_new_places(self):
        mask = torch.zeros(64, 64, dtype=torch.bool)
        mask[16:32, 8:56] = True
        prompts = self.refine(mask)
        assert torch.equal(prompts.points[0, 0, 2], self.prompts.points[0, 0, 0])
        assert torch.equal(prompts.points[0, 0, 3], self.prompts.points[0, 0, 1])
        assert prompts.boxes[0, 0].tolist() == pytest.approx(
            [8.5 / 64, 16.5 / 64, 55.5 / 64, 31.5 / 64]
        )


def test_agreement_is_soft_iou_with_the_foreground():
    likeness = torch.zeros(GRID, GRID)
    likeness[:8] = 1.0
    script = small.ScriptedSegmenter(targets=1)
    logits = torch.full((1, 1, 3, 16, 16), -1.0)
    logits[0, 0, 0, :8] = logits[0, 0, 1, :4] = logits[0, 0, 2] = 1.0
    agreed = choice.agreement(script, logits, foreground_of(likeness), (64, 64))[0, 0]
    assert agreed.tolist() == pytest.approx([1.0, 0.5, 0.5], abs=0.01)
    scores = torch.tensor([[[0.5, 0.8, 0.9]]])
    assert float(choice.best(logits, scores, scores + agreed).score) == 0.5
    assert float(choice.best(logits, scores).score) == pytest.approx(0.9)


def test_agreement_leaves_out_what_a_segmenter_pads():
    class Padding(small.ScriptedSegmenter):
        to_image = SamSegmenter.to_image

    likeness = torch.zeros(GRID, GRID)
    likeness[: GRID // 2] = 1.0
    logits = torch.full((1, 1, 3, 16, 16), -1.0)
    logits[0, 0, 0, :4] = logits[0, 0, 1, :8] = logits[0, 0, 2, :2] = 1.0
    agreed = choice.agreement(Padding(1), logits, foreground_of(likeness), (32, 64))[0, 0]
    assert agreed.tolist() == pytest.approx([1.0, 0.5, 0.5], abs=0.01)


class TestZoom:
    def test_the_window_holds_the_targets_of_all_views(self):
        one = bar_reference()
        assert window_side(one) == pytest.approx(2.0 * 32 / 128)
        dot = np.zeros((128, 128), bool)
        dot[70, 70] = True
        second = View(one.views[0].image, (Target("bar", dot, small.points()),))
        assert window_side(Reference((*one.views, second))) == pytest.approx(1.4 * 32 / 128)

    def test_the_zoomed_reference_shows_the_same_pixels(self):
        whole, part = bar_reference().views[0], zoomed(bar_reference(), 0.5).views[0]
        assert part.image.shape == (64, 64, 3)
        assert part.targets[0].mask.sum() == whole.targets[0].mask.sum()
        x, y = part.targets[0].points[0].astype(int)
        assert (part.image[y, x] == RED).all() and part.targets[0].mask[y, x]

    def test_looks_where_the_targets_are_and_puts_masks_back(self):
        script = small.ScriptedSegmenter(targets=1)
        script.logits[:] = -1
        script.logits[:, :, 4:12, 4:12] = 1  # the middle of whatever window it is shown
        config = MaskerConfig(device="cpu", features="none")
        finder = make_finder(Encoders(script, None), bar_reference(), config)
        assert isinstance(finder, ZoomedFinder)
        places = [(80, 64), (60, 20)]
        frames = torch.from_numpy(np.stack([two_coloured_thing(*p)[0] for p in places]))
        found = finder(frames, encoders()(frames))
        for b, (top, left) in enumerate(places):
            rows, columns = found.mask[b].nonzero().t().float()
            assert float(columns.mean()) == pytest.approx(left + 15.5, abs=4)
            assert float(rows.mean()) == pytest.approx(top + 7.5, abs=4)
            x, y = (found.points[b, 0, 0] * 128).tolist()
            # Within the window of 64 px.
            assert abs(x - left - 16) < 36 and abs(y - top - 8) < 36
        assert torch.equal(found.rgb, frames * found.mask[..., None])
        assert torch.equal(found.mask, found.each.any(1))

    def test_large_targets_are_looked_at_once(self):
        picture, _ = two_coloured_thing()
        large = Target("all", np.ones((128, 128), bool), small.points())
        config = MaskerConfig(device="cpu", features="none")
        finder = make_finder(encoders(), Reference((View(picture, (large,)),)), config)
        assert isinstance(finder, TargetFinder)


class TestPaper:
    def test_sets_the_published_steps(self):
        config = MaskerConfig(method="paper")
        assert {name: getattr(config, name) for name in PAPER} == PAPER

    def test_a_contradiction_is_refused(self):
        with pytest.raises(ConfigError, match="views is 3, but method 'paper' sets it to 1"):
            MaskerConfig(method="paper", views=3)

    def test_one_view_of_every_target(self):
        """The cup is in the first view alone, the ball in both."""
        config = MaskerConfig(device="cpu", features="none", views=1, parts=False, zoom=False)
        script = small.ScriptedSegmenter(targets=2)
        finder = make_finder(Encoders(script, None), small.two_targets(), config)
        assert finder.target_names == ("ball", "cup")
        frames = torch.zeros(1, 60, 80, 3, dtype=torch.uint8)
        finder(frames, Encoders(script, None)(frames))
        # The whole and its least alike pixel: no parts.
        assert script.prompts[-3].points.shape[2] == 2


class TestLikenessInside:
    def test_is_the_mean_of_what_the_mask_holds(self):
        likeness = torch.full((GRID, GRID), 0.2)
        likeness[:8] = 0.9
        masks = torch.zeros(1, 3, 64, 64, dtype=torch.bool)
        masks[0, 0, :32] = masks[0, 1] = True
        foreground = Foreground(likeness.expand(1, 3, GRID, GRID))
        alike = foreground.inside(foreground.cells(masks))
        assert alike[0].tolist() == pytest.approx([0.9, 0.55, 0.0], abs=1e-4)

    def test_something_thin_counts_where_it_covers_most(self):
        likeness = torch.full((GRID, GRID), 0.2)
        likeness[:, 3] = 0.9
        masks = torch.zeros(1, 1, 64, 64, dtype=torch.bool)
        masks[..., 13] = True  # a quarter of cell 3
        foreground = foreground_of(likeness)
        assert float(foreground.inside(foreground.cells(masks))) == pytest.approx(0.9)

    def test_a_mask_of_something_else_is_lost(self):
        """SAM is sure of its mask in both frames, but in one there is nothing like the bar."""
        config = MaskerConfig(
            device="cpu", features="none", zoom=False, lost_likeness=0.65, min_likeness=0.7
        )
        script = small.ScriptedSegmenter(targets=1)
        script.logits[:] = -1
        script.logits[:, :, 2:4, 2:6] = 1  # where the reference has it
        finder = make_finder(Encoders(script, None), bar_reference(), config)
        green = painted(128, 128, (slice(0, 128), slice(0, 128), (0, 160, 0)))
        frames = torch.from_numpy(np.stack([two_coloured_thing()[0], green]))
        found = finder(frames, encoders()(frames))
        assert [STATUS_NAMES[s] for s in found.statuses[:, 0].tolist()] == ["found", "lost"]
        assert found.mask[0].any() and not found.mask[1].any()
        assert found.scores[0, 0] == found.scores[1, 0]
