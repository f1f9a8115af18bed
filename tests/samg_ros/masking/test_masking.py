"""The masker: scale weights, prompts, statuses, and frames in which all is lost."""

from __future__ import annotations

import masking_fixtures as small
import numpy as np
import pytest
import torch

from samg_ros.masking.choice import learn_scale_weights
from samg_ros.masking.config import MaskerConfig
from samg_ros.masking.encoders import Encoders
from samg_ros.masking.masker import Masker
from samg_ros.masking.result import FOUND, LOST, LOW_CONFIDENCE, LostFrames, MaskResult

pytestmark = pytest.mark.usefixtures("one_thread")


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


def scripted(**options) -> tuple[Masker, small.ScriptedSegmenter]:
    """A masker of two targets whose decodes are scripted, and the script."""
    segmenter = small.ScriptedSegmenter(targets=2)
    config = MaskerConfig(device="cpu", scale_steps=0, features="none", **options)
    masker = Masker.build(Encoders(segmenter, None), small.two_targets(), config)
    segmenter.prompts.clear()
    return masker, segmenter


def frames_of(count: int, height: int = 60, width: int = 80) -> torch.Tensor:
    return torch.from_numpy(np.stack([small.scene(s, height, width) for s in range(count)]))


@pytest.fixture(scope="module")
def graded() -> MaskResult:
    """Scores of five frames' (ball, cup); the ball fills the left half, the cup all."""
    masker, script = scripted(min_score=0.5, lost_score=0.25, **small.ANY_LIKENESS)
    script.logits[0, :, :, 8:] = -1
    table = [(0.9, 0.7), (0.9, 0.4), (0.9, 0.1), (0.3, 0.2), (0.1, 0.0)]
    script.scores = torch.tensor(table)[..., None].expand(-1, -1, 3)
    return masker(frames_of(5))


class TestStatuses:
    def test_of_targets_and_frames(self, graded: MaskResult):
        assert graded.statuses.dtype == torch.int8
        assert graded.statuses.tolist() == [
            [FOUND, FOUND],
            [FOUND, LOW_CONFIDENCE],
            [FOUND, LOST],
            [LOW_CONFIDENCE, LOST],
            [LOST, LOST],
        ]
        low = "low_confidence"
        assert graded.status.tolist() == ["found", low, low, low, "lost"]
        assert graded.lost.tolist() == [False] * 4 + [True]
        assert graded.targets["cup"].status.tolist() == ["found", low, "lost", "lost", "lost"]

    def test_score_is_the_worst_of_what_was_found(self, graded: MaskResult):
        assert graded.score.tolist() == pytest.approx([0.7, 0.4, 0.9, 0.3, 0.0])
        assert graded.scores[4].tolist() == pytest.approx([0.1, 0.0])

    def test_lost_targets_masks_are_blank(self, graded: MaskResult):
        left = torch.arange(80).expand(60, 80) < 40
        covered = graded.target_masks.flatten(2).float().mean(2).tolist()
        assert covered == [[0.5, 1], [0.5, 1], [0.5, 0], [0.5, 0], [0, 0]]
        assert torch.equal(graded.mask, graded.target_masks.any(1))
        assert torch.equal(graded.mask[2], left) and not graded.mask[4].any()

    def test_rgb_is_the_frame_under_the_mask(self, graded: MaskResult):
        frames = frames_of(5)
        assert graded.rgb.dtype == torch.uint8
        assert torch.equal(graded.rgb, torch.where(graded.mask[..., None], frames, 0))

    def test_thresholds_themselves_suffice(self):
        masker, script = scripted(min_score=0.5, lost_score=0.25, **small.ANY_LIKENESS)
        script.scores = torch.tensor([[0.5, 0.25]])[..., None].expand(-1, -1, 3)
        assert masker(frames_of(1)).statuses.tolist() == [[FOUND, LOW_CONFIDENCE]]

    def test_an_empty_mask_is_lost_however_sure_the_model_is(self):
        masker, script = scripted(**small.ANY_LIKENESS)
        script.logits[1] = -1
        batch = masker(frames_of(1))
        assert batch.statuses.tolist() == [[FOUND, LOST]] and batch.score.tolist() == [1.0]


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
def random_masker(request) -> Masker:
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
    return Masker.build(Encoders(segmenter, features), small.two_targets(), config)


class TestRandomModels:
    @pytest.mark.parametrize("size", [(60, 80), (96, 33)])
    def test_a_batch_equals_its_frames_one_by_one(self, random_masker: Masker, size):
        frames = frames_of(3, *size)
        together = random_masker(frames)
        for b in range(3):
            alone = random_masker(frames[b : b + 1])
            torch.testing.assert_close(together.points[b], alone.points[0])
            torch.testing.assert_close(together.scores[b], alone.scores[0], atol=1e-4, rtol=0)
            assert (together.target_masks[b] == alone.target_masks[0]).float().mean() > 0.99

    def test_shapes_and_types(self, random_masker: Masker):
        frames = frames_of(2, 45, 70)
        before = frames.clone()
        batch = random_masker(frames)
        assert torch.equal(frames, before)
        assert batch.rgb.shape == (2, 45, 70, 3) and batch.rgb.dtype == torch.uint8
        assert batch.mask.shape == (2, 45, 70) and batch.mask.dtype == torch.bool
        assert batch.target_masks.shape == (2, 2, 45, 70)
        assert batch.scores.shape == batch.statuses.shape == (2, 2)
        # Two of the whole, two of parts, and three with each refinement.
        assert batch.points.shape == (2, 2, 10, 2) and batch.labels.shape == (2, 2, 10)
        assert ((batch.points > 0) & (batch.points < 1)).all()

    def test_the_same_twice(self, random_masker: Masker):
        one, other = random_masker(frames_of(1)), random_masker(frames_of(1))
        assert torch.equal(one.target_masks, other.target_masks)
        assert torch.equal(one.scores, other.scores)
