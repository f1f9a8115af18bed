"""What holds of the whole masker whatever it is shown: any frame, reference, method and model."""

from __future__ import annotations

import itertools

import masking_fixtures as small
import numpy as np
import property_fixtures as drawn
import pytest
import torch
from hypothesis import assume, example, given
from hypothesis import strategies as st
from property_fixtures import assert_same, batches, check, examples, maskers, pictures

from samg_ros.masking.config import PAPER, MaskerConfig
from samg_ros.masking.encoders import Encoders
from samg_ros.masking.masker import Masker
from samg_ros.masking.result import FOUND, LOST, LOW_CONFIDENCE

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_stand_ins_find_lose_and_doubt():
    """Else what is tested below would hold of masks that are always empty, or always full."""
    frames = torch.from_numpy(np.stack([drawn.picture(k, 50, 70, 3) for k in drawn.KINDS]))
    kinds = itertools.product(drawn.FAMILIES, drawn.METHODS)
    found = [drawn.masker(*kind, 10, "spread")(frames) for kind in kinds]
    statuses = torch.cat([batch.statuses for batch in found])
    assert set(statuses.unique().tolist()) == {LOST, LOW_CONFIDENCE, FOUND}
    covered = torch.cat([batch.target_masks.float().mean((2, 3)) for batch in found])
    assert ((covered > 0.01) & (covered < 0.99)).float().mean() > 0.2


class TestFrames:
    @examples(24)
    @given(maskers, batches())
    def test_any(self, masker: Masker, stack: np.ndarray):
        frames = torch.from_numpy(stack.copy())
        found = masker(frames)
        assert np.array_equal(frames.numpy(), stack)
        check(found, frames, masker.config, len(masker.target_names))
        assert_same(masker(frames), found)

    @examples(3)
    @given(
        st.sampled_from(drawn.FAMILIES),
        st.sampled_from(drawn.METHODS),
        st.integers(300, 1080),
        st.integers(300, 1080),
    )
    @example("sam2", "best", 1080, 1080)
    @example("sam", "paper", 1080, 16)
    @example("sam", "best", 16, 1080)
    def test_large_ones(self, family: str, method: str, height: int, width: int):
        masker = drawn.masker(family, method, 1, "near")
        frames = torch.from_numpy(drawn.picture("scene", height, width, width))[None]
        check(masker(frames), frames, masker.config, 1)

    @examples(12)
    @given(maskers, batches(most=2), st.sampled_from(["turned", "planar", "every second"]))
    def test_however_they_lie_in_memory(self, masker: Masker, stack: np.ndarray, way: str):
        frames = torch.from_numpy(stack)
        if way == "turned":
            other = frames.transpose(1, 2).contiguous().transpose(1, 2)
        elif way == "planar":
            other = frames.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
        else:
            other = frames.repeat_interleave(2, 1).repeat_interleave(2, 2)[:, ::2, ::2]
        assert torch.equal(other, frames) and not other.is_contiguous()
        assert_same(masker(other), masker(frames))

    @examples(16)
    @given(maskers, batches(least=3))
    def test_do_not_influence_their_neighbours(self, masker: Masker, stack: np.ndarray):
        frames = torch.from_numpy(stack)
        one, other = masker(frames[[0, 1]]), masker(frames[[0, 2]])
        assert_same(one[0], other[0])

    @examples(12)
    @given(maskers, batches(least=2))
    def test_a_batch_equals_a_loop(self, masker: Masker, stack: np.ndarray):
        """Up to rounding, which may move a point between two pixels that are as alike."""
        frames = torch.from_numpy(stack)
        together = masker(frames)
        loop = [masker(frame[None]) for frame in frames]
        pairs = [
            (together.points[b] - alone.points[0]).abs().amax() for b, alone in enumerate(loop)
        ]
        same = [b for b, moved in enumerate(pairs) if moved < 1e-5]
        assume(same)
        for b in same:
            alone = loop[b]
            torch.testing.assert_close(together.scores[b], alone.scores[0], atol=1e-3, rtol=1e-3)
            agreed = together.target_masks[b] == alone.target_masks[0]
            assert agreed.float().mean() > 0.999


class TestManyFrames:
    @examples(10)
    @given(
        st.lists(st.tuples(st.sampled_from("abc"), pictures), max_size=5),
        st.sampled_from(drawn.FAMILIES),
        st.sampled_from(drawn.METHODS),
    )
    def test_of_several_sizes_and_cameras(self, shown, family: str, method: str):
        """Arrays that run backwards, which torch cannot take."""
        encoders = Encoders(*drawn.models(family))
        maskers = {c: drawn.masker(family, method, n, "near") for c, n in (("a", 1), ("b", 10))}
        maskers["c"] = maskers["a"]
        finders = {camera: m._finder(None) for camera, m in maskers.items()}
        many = Masker(encoders, finders, maskers["a"].config)
        before = [rgb.copy() for _, rgb in shown]
        frames = [(camera, rgb[::-1, ::-1]) for camera, rgb in shown]
        found = many.mask_frames(frames)
        assert len(found) == len(frames)
        assert all(np.array_equal(b, rgb) for b, (_, rgb) in zip(before, shown, strict=True))
        for (camera, rgb), mask in zip(frames, found, strict=True):
            alone = maskers[camera](torch.from_numpy(rgb.copy())[None])
            assert mask.mask.shape == rgb.shape[:2] and mask.mask.dtype == np.bool_
            assert mask.lost == (not mask.mask.any())
            assert tuple(mask.targets) == maskers[camera].target_names
            if np.allclose(mask.points, alone.points[0]):  # see the test above
                assert mask.status == alone.status[0]
                assert mask.score == pytest.approx(float(alone.score[0]), abs=1e-3)
                assert (mask.mask == alone.mask[0].numpy()).mean() > 0.999


class TestStatuses:
    @examples(30)
    @given(
        st.lists(st.floats(-1, 2, width=32), min_size=3, max_size=3),
        st.lists(st.sampled_from(["nothing", "a cell", "half", "all"]), min_size=3, max_size=3),
        st.sampled_from([{}, PAPER, {"agreement": 0.0}, {"refine_steps": 0}]),
        st.tuples(st.floats(0, 1), st.floats(0, 1)),
    )
    def test_follow_scores_and_masks(self, scores, masks, options, thresholds):
        """A segmenter that answers anything; of scores too, also beyond what is an IoU."""
        script = small.ScriptedSegmenter(targets=3)
        low, high = sorted(thresholds)
        config = MaskerConfig(
            **{**options, "scale_steps": 1},
            device="cpu",
            features="none",
            reference_grid=8,
            lost_score=low,
            min_score=high,
        )
        masker = Masker.build(Encoders(script, None), drawn.reference(3, "spread"), config)
        script.logits[:] = -1
        for t, what in enumerate(masks):
            rows = {"nothing": 0, "a cell": 1, "half": 8, "all": 16}[what]
            script.logits[t, :, :rows, : 1 if rows == 1 else 16] = 1
        script.scores = torch.tensor(scores)[None, :, None].expand(-1, -1, 3)
        frames = torch.from_numpy(small.scene(5, 32, 48))[None]
        found = masker(frames)
        check(found, frames, config, 3)
