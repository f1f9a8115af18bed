"""What keeps a robot safe from a policy: limits, the limit on change, the hold, the stop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from policies.fit import Robot, check_fit, picture_doubts
from policies.safety import CommandGuard, SafetyLimits
from samg_ros.errors import CheckpointError, UnsafeActionError
from samg_ros.robot import PolicySpec

SPEC = PolicySpec(
    task="toy",
    camera="top",
    image_size=96,
    frame_stack=2,
    joint_names=("a", "b", "c"),
    actuated_joints=("a", "b"),
    command_mode="position",
    command_low=(-1.0, 0.0),
    command_high=(1.0, 4.0),
    control_dt_s=0.02,
)
EFFORT = replace(SPEC, command_mode="effort")
FREE = SafetyLimits(range_share=1.0, max_rate=0.0, max_gap_s=0.5)
SLOW = replace(FREE, max_rate=10.0)


def command(guard: CommandGuard, *action: float, gap_s: float = 0.02) -> list[float]:
    """The values of a command that follows the one before by ``gap_s``."""
    return guard(np.array(action, np.float32), gap_s, {}).values.tolist()


class TestLimits:
    def test_actions_are_clipped_to_the_policys_range(self) -> None:
        guard = CommandGuard(SPEC, FREE)
        assert command(guard, 0.5, -0.5) == [0.5, 1.0]
        assert command(guard, -7.0, 7.0) == [-1.0, 4.0]

    def test_a_share_of_the_range_lies_around_its_middle(self) -> None:
        guard = CommandGuard(SPEC, replace(FREE, range_share=0.25))
        assert command(guard, 0.1, 0.0) == pytest.approx([0.1, 2.0])
        assert command(guard, 1.0, -1.0) == pytest.approx([0.25, 1.5])

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_no_number_is_no_command(self, bad: float) -> None:
        guard = CommandGuard(SPEC, FREE)
        command(guard, 0.5, 0.0)
        with pytest.raises(UnsafeActionError, match=r"for joint b is not a finite .* \(1 of 2"):
            command(guard, 0.0, bad)
        assert guard.last is not None and guard.last.tolist() == [0.5, 2.0]

    def test_an_action_of_another_size_is_no_command(self) -> None:
        with pytest.raises(UnsafeActionError, match=r"shape \(3,\).*names 2 joints"):
            command(CommandGuard(SPEC, FREE), 0.0, 0.0, 0.0)


class TestChange:
    def test_is_limited_by_the_time_between_commands(self) -> None:
        guard = CommandGuard(SPEC, SLOW)
        guard(np.array([0.0, 0.0]), 0.02, {"a": 0.0, "b": 2.0})
        assert command(guard, 1.0, 0.05, gap_s=0.02) == pytest.approx([0.2, 2.1])
        assert command(guard, 1.0, 0.05, gap_s=0.04) == pytest.approx([0.6, 2.1])
        assert command(guard, -1.0, 0.05, gap_s=0.04) == pytest.approx([0.2, 2.1])

    def test_a_limited_command_says_so(self) -> None:
        guard = CommandGuard(SPEC, SLOW)
        assert guard(np.zeros(2), 0.02, {"a": 0.9, "b": 2.0}).limited
        assert not CommandGuard(SPEC, FREE)(np.ones(2), 0.02, {"a": -1.0, "b": 0.0}).limited

    def test_a_first_position_starts_from_the_measured_one(self) -> None:
        measured = {"a": -0.5, "c": 9.0}  # b is not measured: it goes where it is sent
        values = CommandGuard(SPEC, SLOW)(np.ones(2), 5.0, measured).values
        assert values.tolist() == pytest.approx([-0.3, 4.0])

    def test_a_first_effort_starts_from_none(self) -> None:
        values = CommandGuard(EFFORT, SLOW)(np.array([1.0, -1.0]), 5.0, {"a": -0.5}).values
        assert values.tolist() == pytest.approx([0.2, 0.0])

    def test_a_long_gap_counts_as_the_longest(self) -> None:
        guard = CommandGuard(SPEC, replace(SLOW, max_gap_s=0.05))
        guard(np.zeros(2), 0.02, {})
        assert command(guard, 1.0, 0.0, gap_s=60.0) == pytest.approx([0.5, 2.0])

    def test_stamps_that_go_back_allow_none(self) -> None:
        guard = CommandGuard(SPEC, SLOW)
        guard(np.zeros(2), 0.02, {})
        assert command(guard, 1.0, 1.0, gap_s=-3.0) == [0.0, 2.0]

    def test_starts_again_from_where_the_robot_is(self) -> None:
        guard = CommandGuard(SPEC, SLOW)
        command(guard, 1.0, 1.0)
        guard.start_again()
        assert guard.last is not None  # a hold still has something to keep
        values = guard(np.zeros(2), 5.0, {"a": 0.5, "b": 1.0}).values
        assert values.tolist() == pytest.approx([0.3, 1.2])


class TestHold:
    def test_keeps_the_last_position(self) -> None:
        guard = CommandGuard(SPEC, FREE)
        assert guard.hold() is None
        command(guard, 0.5, 0.5)
        held = guard.hold()
        assert held is not None and held.tolist() == [0.5, 3.0]
        guard.reset()
        assert guard.hold() is None

    @pytest.mark.parametrize("mode", ["velocity", "effort"])
    def test_ends_motion_and_effort(self, mode: str) -> None:
        guard = CommandGuard(replace(SPEC, command_mode=mode), SLOW)
        command(guard, 1.0, 1.0)
        held = guard.hold()
        assert held is not None and held.tolist() == [0.0, 0.0]
        # The way back up is limited too.
        assert command(guard, 1.0, 1.0, gap_s=0.01) == pytest.approx([0.1, 0.1])

    def test_what_is_given_out_cannot_change_what_is_held(self) -> None:
        guard = CommandGuard(SPEC, FREE)
        guard(np.zeros(2), 0.02, {}).values[:] = 99
        held = guard.hold()
        assert held is not None and held.tolist() == [0.0, 2.0]


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

    @pytest.mark.parametrize(
        ("low", "high", "reason"),
        [
            ((0.0,), (1.0,), "not one finite pair a joint"),
            ((0.0, np.nan), (1.0, 1.0), "not one finite pair a joint"),
            ((0.0, 1.0), (1.0, 1.0), "not below its upper one"),
        ],
    )
    def test_limits_that_are_none_are_told(self, low: tuple, high: tuple, reason: str) -> None:
        with pytest.raises(CheckpointError, match=reason):
            check_fit(replace(SPEC, command_low=low, command_high=high), Robot(), "toy")

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
