"""Pieces of a DrQ-v2 run: what the best agent is, SAM-G's pictures, curves."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from masking_fixtures import features_of, random_dino, random_sam2, segmenter_of, two_targets

from policies.drqv2.run import score_of
from policies.episode import EpisodeRecord
from policies.pictures import BatchPictures
from policies.rollout import EpisodeResults
from policies.training.curves import Curves, read_curves
from samg_ros.errors import ConfigError
from samg_ros.masking.config import MaskerConfig
from samg_ros.masking.encoders import Encoders
from samg_ros.masking.masker import Masker
from sim_bridge.scenes.views import area_resize


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ([(True, 5, 1.0), (False, 9, 9.0)], [(False, 9, 90.0), (False, 9, 90.0)]),
        ([(True, 5, 1.0)], [(True, 9, 70.0)]),
        ([(None, 9, 5.0)], [(None, 9, 4.0)]),
    ],
)
def test_what_makes_an_agent_the_best(better: list, worse: list) -> None:
    def results(episodes: list) -> EpisodeResults:
        return EpisodeResults(tuple(EpisodeRecord(0, *values) for values in episodes))

    assert score_of(results(better)) > score_of(results(worse))


def test_samg_pictures_are_the_maskers_shrunk_as_a_policy_does() -> None:
    masker = Masker.build(
        Encoders(segmenter_of(random_sam2()), features_of(random_dino(), layer=3)),
        two_targets(96, 96),
        MaskerConfig(scale_steps=5, lost_score=0.0),
    )
    rng = np.random.default_rng(0)
    pictures = rng.integers(256, size=(2, 96, 96, 3), dtype=np.uint8)
    batch = BatchPictures(32, masker)
    shown = batch(pictures)
    assert shown.shape == (2, 3, 32, 32) and shown.dtype == torch.uint8
    masked = masker(torch.from_numpy(pictures)).rgb.numpy()
    for picture, got in zip(masked, shown, strict=True):
        np.testing.assert_array_equal(got.permute(1, 2, 0), area_resize(picture, 32))
    assert shown.any() and batch.frames == 2 and batch.lost == 0
    # Everything lost is black, and counted.
    blind = Masker.build(
        Encoders(segmenter_of(random_sam2()), None),
        two_targets(96, 96),
        MaskerConfig(scale_steps=5, min_score=1.0, lost_score=1.0, features="none"),
    )
    batch = BatchPictures(32, blind)
    assert not batch(pictures).any() and batch.lost == 2


def test_curves_need_tensorboard_only_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match="--no-tensorboard"):
        Curves(tmp_path, tensorboard=True)
    curves = Curves(tmp_path, tensorboard=False)
    curves.record("update", 10, loss=0.5)
    position = curves.position
    curves.record("update", 20, loss=0.25)
    curves.close()
    assert read_curves(tmp_path) == {"update/loss": ([10, 20], [0.5, 0.25])}
    Curves(tmp_path, tensorboard=False, position=position).close()
    assert read_curves(tmp_path) == {"update/loss": ([10], [0.5])}
