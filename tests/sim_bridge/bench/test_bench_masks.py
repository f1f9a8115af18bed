"""`samg bench masks`: frames with hidden targets, ablations, and what is counted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from samg_ros.cli import main
from samg_ros.errors import ConfigError
from samg_ros.masking import masker as maskers
from samg_ros.masking.config import PAPER, MaskerConfig
from samg_ros.masking.result import MaskResult
from sim_bridge.bench.masks import STEPS, score_frames, truth_frames, variants

TASK, NAMES = "ball_in_cup_catch", ("cup", "ball")


class Credulous:
    """Masks the whole frame and has found the cup, but never the ball."""

    def __call__(self, images: np.ndarray) -> list[MaskResult]:
        statuses = dict(zip(NAMES, ("found", "lost"), strict=True))
        return [self._found(rgb, statuses) for rgb in images]

    def _found(self, rgb: np.ndarray, statuses: dict[str, str]) -> MaskResult:
        each = np.stack([np.ones(rgb.shape[:2], bool), np.zeros(rgb.shape[:2], bool)])
        return replace(MaskResult.given(rgb, each[0], statuses, 0.5), each=each)


def frames(**options):
    return truth_frames(TASK, "photos", 64, range(7, 8), 1, **options)


def test_a_hidden_target_is_painted_over_and_not_wanted():
    plain, no_cup, no_ball = frames(hide=True)
    assert [f.hidden for f in (plain, no_cup, no_ball)] == ["", "cup", "ball"]
    assert plain.names == NAMES
    for frame, gone in ((no_cup, 1), (no_ball, 2)):
        where = plain.targets == gone
        assert where.any() and not (frame.targets == gone).any()
        np.testing.assert_array_equal(frame.rgb[~where], plain.rgb[~where])
        assert (frame.rgb[where] != plain.rgb[where]).any()


def test_nothing_to_paint_with_is_refused():
    with pytest.raises(ConfigError, match="--hide paints targets over, and 'none' has nothing"):
        truth_frames(TASK, "none", 64, range(1), 1, hide=True)


def test_scores_of_each_target():
    scored = [score for score, _ in score_frames(Credulous(), frames(hide=True))]
    cup, ball = scored[1].targets
    assert (cup["name"], cup["visible"], cup["status"]) == ("cup", 0, "found")
    assert ball["name"] == "ball" and ball["visible"] > 0 and ball["status"] == "lost"
    assert cup["iou"] == 0.0


def test_ablations_leave_out_one_step_each():
    config = MaskerConfig(clicks=False)
    told = variants(config, ablate=True)
    assert next(iter(told)) == "as given" and told["as given"] == config
    assert "no clicks" not in told and len(told) == len(STEPS) + 1
    assert not told["no zoom"].zoom and not told["no zoom"].clicks
    assert {name: getattr(told["as published"], name) for name in PAPER} == PAPER
    assert variants(config, ablate=False) == {"": config}
    with pytest.raises(ConfigError, match="leave out either"):
        variants(MaskerConfig(method="paper"), ablate=True)


def test_the_command(monkeypatch, tmp_path: Path, capsys):
    made = []
    monkeypatch.setattr(maskers, "build_masker", lambda _, c: made.append(c) or Credulous())
    monkeypatch.setenv("COLUMNS", "200")
    options = f"--tasks {TASK} --size 64 --episodes 1 --frames 2 --hide --ablate --out {tmp_path}"
    main(["bench", "masks", *options.split()])
    results = json.loads((tmp_path / "results.json").read_text())
    assert len(made) == len(results["figures"]) == len(STEPS) + 2
    assert len(results["frames"]) == len(made) * 2 * 3
    assert (tmp_path / "worst.png").stat().st_size > 1000
    # Two frames in three versions: of four targets that are not there it sees the cup twice, of
    # eight that are it misses the ball four times.
    lines = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if "as published  " in line)
    assert row.split()[-2:] == ["2/4", "4/8"]
