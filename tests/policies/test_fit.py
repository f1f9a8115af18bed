"""Whether a policy and the robot it is to drive belong together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from toy_spec import SPEC

from policies.fit import Robot, check_fit, picture_doubts
from samg_ros.errors import CheckpointError


class TestFit:
    def test_what_is_not_told_fits(self) -> None:
        check_fit(SPEC, Robot(), "toy")

    def test_the_same_in_another_order_fits(self) -> None:
        robot = Robot("top", "targets", ("c", "b", "a", "d"), ("b", "a"), "position")
        check_fit(SPEC, robot, "toy")

    def test_everything_that_does_not_is_told(self) -> None:
        robot = Robot("side", "none", ("a",), ("b", "d"), "effort")
        with pytest.raises(CheckpointError, match="policy 'toy' does not fit") as caught:
            check_fit(SPEC, robot, "toy")
        for reason in (
            "the camera is 'side', it was trained on 'top'",
            "mask is 'none', it was trained on 'targets'",
            "joint_states has no b, c",
            "it commands a, which the robot does not take",
            "it does not command d",
            "the robot takes effort, it commands position",
        ):
            assert reason in str(caught.value)

    def test_pictures_that_do_not_look_masked_are_doubted(self) -> None:
        raw = np.random.default_rng(0).integers(1, 256, (96, 96, 3), np.uint8)
        half = raw.copy()
        half[:48] = 0
        assert "do not look masked" in picture_doubts(SPEC, raw, "top")[0]
        assert picture_doubts(SPEC, half, "top") == []
        assert picture_doubts(replace(SPEC, mask="none"), raw, "top") == []

    def test_another_camera_is_doubted(self) -> None:
        black = np.zeros((96, 96, 3), np.uint8)
        (doubt,) = picture_doubts(SPEC, black, "side")
        assert "come from 'side', and the policy learned from 'top'" in doubt
        assert picture_doubts(SPEC, black, "") == []
