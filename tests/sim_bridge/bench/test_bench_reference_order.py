"""The reference order of work, which ``samg bench masker`` runs beside the masker."""

from __future__ import annotations

import masking_fixtures as small
import numpy as np
import pytest
import torch

from samg_ros.masking.config import MaskerConfig
from samg_ros.masking.encoders import Encoders
from samg_ros.masking.masker import Masker
from samg_ros.masking.reference import Reference, View
from sim_bridge.bench.reference_order import ReferenceOrder

# As in the paper, but for the sizes; nothing is called lost, which the paper does not know.
PAPER = {
    "device": "cpu",
    "precision": "fp32",
    "refine_steps": 2,
    "lost_score": 0.0,
    **small.PUBLISHED,
}

pytestmark = pytest.mark.usefixtures("one_thread")


class TestReferenceOrder:
    @pytest.mark.parametrize("with_dino", [True, False], ids=["both-maps", "one-map"])
    def test_finds_what_the_masker_finds_with_the_papers_settings(self, with_dino):
        segmenter = small.segmenter_of(small.random_sam2())
        features = small.features_of(small.random_dino(), 2) if with_dino else None
        config = MaskerConfig(**PAPER, scale_steps=0)
        masker = Masker.build(Encoders(segmenter, features), small.one_view(), config)
        order = ReferenceOrder(segmenter, features, small.one_view(), scale_steps=0)
        frames = np.stack([small.scene(seed, 60, 80) for seed in (1, 5, 6)])
        batch = masker(torch.from_numpy(frames))
        assert order.target_names == masker.target_names
        for b, frame in enumerate(frames):
            answer = order(frame)
            for t, target in enumerate(answer.targets):
                np.testing.assert_allclose(target.points, batch.points[b, t], atol=1e-6)
                assert target.labels.tolist() == batch.labels[b, t].tolist()
                assert target.score == pytest.approx(float(batch.scores[b, t]), abs=1e-4)
                assert (target.mask != batch.target_masks[b, t].numpy()).mean() < 1e-3
            assert 0 < answer.mask.mean() < 1
            assert (answer.rgb == frame * answer.mask[..., None]).all()

    def test_learns_the_scale_weights_from_the_reference(self):
        """Of the three scales the first is the ball, the second all but the ball."""
        view = small.one_view().views[0]
        ball = Reference((View(view.image, view.targets[:1]),))
        scripted = small.ScriptedSegmenter(1)
        shown = torch.from_numpy(view.targets[0].mask).float()[None, None]
        scale = torch.nn.functional.adaptive_avg_pool2d(shown, 16)[0, 0].sub(0.5).sign()
        scripted.logits = torch.stack([scale, -scale, torch.zeros(16, 16)])[None] * 3
        joined = []
        for steps in (0, 200):
            order = ReferenceOrder(scripted, None, ball, steps)
            scripted.prompts.clear()
            order(small.scene(5, 60, 80))
            joined.append(scripted.prompts[1].masks[0, 0])
        torch.testing.assert_close(joined[0], torch.zeros(16, 16))
        assert torch.equal(joined[1].sign(), scale) and joined[1].abs().min() > 0.1

    def test_decodes_three_times_a_target_one_after_another(self):
        scripted = small.ScriptedSegmenter(1)
        order = ReferenceOrder(scripted, None, small.one_view(), scale_steps=0)
        scripted.prompts.clear()
        answer = order(small.scene(5, 60, 80))
        assert [p.points.shape for p in scripted.prompts] == [(1, 1, n, 2) for n in (4, 5, 6)] * 2
        assert [p.boxes is None for p in scripted.prompts] == [True, False, False] * 2
        assert [p.masks is None for p in scripted.prompts] == [True, False, False] * 2
        assert answer.targets[0].labels.tolist() == [1, 0, 1, 1, 0, 0]
        # All is mask, so the box goes from the middle of the first pixel to that of the last.
        box = scripted.prompts[1].boxes
        assert box.flatten().tolist() == pytest.approx([0.5 / 80, 0.5 / 60, 79.5 / 80, 59.5 / 60])

    def test_nothing_found_gives_a_black_frame(self):
        scripted = small.ScriptedSegmenter(1)
        scripted.logits = -scripted.logits
        order = ReferenceOrder(scripted, None, small.one_view(), scale_steps=0)
        scripted.prompts.clear()
        answer = order(small.scene(5, 60, 80))
        assert not answer.mask.any() and not answer.rgb.any()
        box = scripted.prompts[1].boxes.flatten().tolist()
        assert box == pytest.approx([0.01, 0.01, 0.99, 0.99])

    def test_takes_each_target_from_the_first_view_that_shows_it(self):
        views = small.two_targets().views
        segmenter = small.segmenter_of(small.random_sam2())
        frame = small.scene(5, 60, 80)
        both = ReferenceOrder(segmenter, None, Reference(views[::-1]), 0)(frame)
        ball = ReferenceOrder(segmenter, None, Reference(views[1:]), 0)(frame)
        cup = ReferenceOrder(segmenter, None, Reference(views[:1]), 0)(frame)
        assert (both.targets[0].mask == ball.targets[0].mask).all()
        assert (both.targets[1].mask == cup.targets[1].mask).all()
