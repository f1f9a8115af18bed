"""What keeps a robot safe from a policy: limits that come last, the limit on change, the hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from toy_spec import SPEC

from policies.limits import Trust, UrdfLimits, limits_of
from policies.safety import CommandGuard
from samg_ros.errors import ConfigError, ImplausibleStateError, UnsafeActionError
from samg_ros.robot import WIDEST, PolicySpec

EFFORT = replace(SPEC, command_mode="effort")
SLOW = Trust(max_rate=10.0)
MIDDLE = {"a": 0.0, "b": 2.0}


def guard_of(
    spec: PolicySpec = SPEC, trust: Trust | None = None, gap: float = 0.5
) -> CommandGuard:
    return CommandGuard(spec, limits_of(spec, trust or Trust()), gap)


def command(guard: CommandGuard, *action: float, gap_s: float = 0.02) -> list[float]:
    """The values of a command that follows the one before by ``gap_s``."""
    return guard(np.array(action, np.float32), gap_s, MIDDLE).values.tolist()


class TestLimits:
    def test_actions_are_clipped_to_the_policys_range(self) -> None:
        guard = guard_of()
        assert command(guard, 0.5, -0.5) == [0.5, 1.0]
        assert command(guard, -7.0, 7.0) == [-1.0, 4.0]

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_no_number_is_no_command(self, bad: float) -> None:
        guard = guard_of()
        command(guard, 0.5, 0.0)
        with pytest.raises(UnsafeActionError, match=r"for joint b is not a finite .* \(1 of 2"):
            command(guard, 0.0, bad)
        assert guard.last is not None and guard.last.tolist() == [0.5, 2.0]

    def test_an_action_of_another_size_is_no_command(self) -> None:
        with pytest.raises(UnsafeActionError, match=r"shape \(3,\).*names 2 joints"):
            command(guard_of(), 0.0, 0.0, 0.0)

    def test_the_range_comes_after_the_rate(self) -> None:
        """The robot stands a little beyond its range, as real ones do: no command follows it."""
        values = guard_of(trust=SLOW)(np.ones(2), 0.02, {"a": 1.4, "b": 4.5}).values
        assert values.tolist() == [1.0, 4.0]

    @pytest.mark.parametrize("position", [1e10, -3.0, np.nan, np.inf])
    def test_a_position_that_cannot_be_is_no_start(self, position: float) -> None:
        guard = guard_of(trust=SLOW)
        with pytest.raises(ImplausibleStateError, match=r"joint a is measured at .* \(1 in all\)"):
            guard(np.zeros(2), 0.02, {"a": position, "b": 2.0})
        assert guard.last is None
        command(guard, 0.0, 0.0)
        with pytest.raises(ImplausibleStateError):  # nor later
            guard(np.zeros(2), 0.02, {"a": position, "b": 2.0})


class TestChange:
    def test_is_limited_by_the_time_between_commands(self) -> None:
        guard = guard_of(trust=SLOW)
        guard(np.array([0.0, 0.0]), 0.02, MIDDLE)
        assert command(guard, 1.0, 0.05, gap_s=0.02) == pytest.approx([0.2, 2.1])
        assert command(guard, 1.0, 0.05, gap_s=0.04) == pytest.approx([0.6, 2.1])
        assert command(guard, -1.0, 0.05, gap_s=0.04) == pytest.approx([0.2, 2.1])

    def test_a_limited_command_says_so(self) -> None:
        assert guard_of(trust=SLOW)(np.zeros(2), 0.02, {"a": 0.9, "b": 2.0}).limited
        assert not guard_of()(np.ones(2), 0.02, {"a": -1.0, "b": 0.0}).limited

    def test_a_first_position_starts_from_the_measured_one(self) -> None:
        measured = {"a": -0.5, "b": 1.0, "c": 9.0}
        values = guard_of(trust=SLOW)(np.ones(2), 5.0, measured).values
        assert values.tolist() == pytest.approx([-0.3, 1.2])

    def test_a_first_position_needs_a_measured_one(self) -> None:
        with pytest.raises(ImplausibleStateError, match="joint b is not measured"):
            guard_of()(np.ones(2), 5.0, {"a": -0.5})

    def test_a_first_effort_starts_from_none(self) -> None:
        guard = guard_of(EFFORT, SLOW)
        assert guard(np.array([1.0, -1.0]), 5.0, {"a": -0.5}).values == pytest.approx([0.2, 0.0])

    def test_a_long_gap_counts_as_the_longest(self) -> None:
        guard = guard_of(trust=SLOW, gap=0.05)
        guard(np.zeros(2), 0.02, MIDDLE)
        assert command(guard, 1.0, 0.0, gap_s=60.0) == pytest.approx([0.5, 2.0])

    @pytest.mark.parametrize("gap", [-3.0, 0.0, np.nan])
    def test_times_that_do_not_pass_allow_none(self, gap: float) -> None:
        guard = guard_of(trust=SLOW)
        guard(np.zeros(2), 0.02, MIDDLE)
        assert command(guard, 1.0, 1.0, gap_s=gap) == [0.0, 2.0]

    def test_acceleration_is_limited_too(self) -> None:
        guard = guard_of(trust=Trust(max_rate=10.0, max_acceleration=100.0))
        guard(np.zeros(2), 0.02, MIDDLE)
        steps = np.diff([0.0] + [command(guard, 1.0, 0.0)[0] for _ in range(8)])
        # 100 / s^2: each 0.02 s the rate grows by 2 / s, until it is 10 / s.
        assert steps[:7] == pytest.approx([0.04, 0.08, 0.12, 0.16, 0.2, 0.2, 0.2])

    def test_starts_again_from_where_the_robot_is(self) -> None:
        guard = guard_of(trust=SLOW)
        command(guard, 1.0, 1.0)
        guard.start_again()
        assert guard.last is not None  # a hold still has something to keep
        values = guard(np.zeros(2), 5.0, {"a": 0.5, "b": 1.0}).values
        assert values.tolist() == pytest.approx([0.3, 1.2])

    def test_speed_can_be_scaled(self) -> None:
        guard = guard_of(trust=SLOW)
        guard(np.zeros(2), 0.02, MIDDLE)
        guard.speed_scale = 0.5
        assert command(guard, 1.0, 0.0) == pytest.approx([0.1, 2.0])
        guard.speed_scale = 0.0
        assert command(guard, 1.0, 0.0) == pytest.approx([0.1, 2.0])
        velocity = guard_of(replace(SPEC, command_mode="velocity", command_low=(-1.0, -4.0)))
        velocity.speed_scale = 0.25
        assert command(velocity, 1.0, -1.0) == [0.25, -1.0]


class TestHold:
    def test_keeps_the_last_position(self) -> None:
        guard = guard_of()
        assert guard.hold() is None
        command(guard, 0.5, 0.5)
        held = guard.hold()
        assert held is not None and held.tolist() == [0.5, 3.0]
        guard.reset()
        assert guard.hold() is None

    def test_keeps_the_measured_position_where_it_is_asked_to(self) -> None:
        guard = guard_of()
        command(guard, 0.5, 0.5)
        assert guard.hold({"a": 0.25, "b": 4.5}).tolist() == [0.25, 4.0]  # type: ignore[union-attr]
        for nonsense in ({"a": 1e9, "b": 1.0}, {"a": 0.5}, {"a": np.nan, "b": 1.0}):
            assert guard.hold(nonsense).tolist() == [0.25, 4.0]  # type: ignore[union-attr]

    @pytest.mark.parametrize("mode", ["velocity", "effort"])
    def test_ends_motion_and_effort(self, mode: str) -> None:
        guard = guard_of(replace(SPEC, command_mode=mode), SLOW)
        command(guard, 1.0, 1.0)
        held = guard.hold()
        assert held is not None and held.tolist() == [0.0, 0.0]
        # The way back up is limited too.
        assert command(guard, 1.0, 1.0, gap_s=0.01) == pytest.approx([0.1, 0.1])

    def test_what_is_given_out_cannot_change_what_is_held(self) -> None:
        guard = guard_of()
        guard(np.zeros(2), 0.02, MIDDLE).values[:] = 99
        held = guard.hold()
        assert held is not None and held.tolist() == [0.0, 2.0]


ANY = st.floats(allow_nan=True, allow_infinity=True)
LIMIT = st.one_of(st.floats(-WIDEST, WIDEST), st.sampled_from([-1.0, 0.0, 1.0, 1e-300, np.nan]))
JOINTS = ("a", "b", "c")


@st.composite
def specs(draw: st.DrawFn) -> PolicySpec | None:
    """Specifications; None for those that are refused."""
    size = draw(st.integers(1, 3))
    pairs = [sorted([draw(LIMIT), draw(LIMIT)]) for _ in range(size)]
    changes = {
        "command_mode": draw(st.sampled_from(["position", "velocity", "effort"])),
        "actuated_joints": JOINTS[:size],
        "command_low": tuple(low for low, _ in pairs),
        "command_high": tuple(high for _, high in pairs),
        "control_dt_s": draw(st.one_of(st.floats(1e-4, 60), ANY)),
    }
    try:
        return replace(SPEC, **changes)
    except ConfigError:
        return None


TRUSTS = st.builds(
    Trust,
    range_share=st.floats(0, 1),
    max_rate=st.one_of(st.just(0.0), st.floats(0, 1e6)),
    max_acceleration=st.one_of(st.just(0.0), st.floats(0, 1e9)),
    reach_tolerance=st.floats(0, 10),
)
URDFS = st.one_of(
    st.none(),
    st.dictionaries(
        st.sampled_from(JOINTS),
        st.builds(
            UrdfLimits,
            st.tuples(ANY, ANY).map(sorted).map(tuple),
            st.floats(0, allow_infinity=True, allow_nan=False),
            st.floats(0, allow_infinity=True, allow_nan=False),
        ),
    ),
)
MEASURED = st.dictionaries(st.sampled_from(JOINTS), ANY)
CALLS = st.lists(
    st.tuples(
        st.sampled_from(["act", "act", "act", "hold", "hold at", "again", "reset"]),
        st.lists(ANY, min_size=1, max_size=4),
        ANY,
        MEASURED,
        st.floats(0, 1),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=400, deadline=None)
@given(spec=specs(), trust=TRUSTS, urdf=URDFS, calls=CALLS)
def test_nothing_ever_leaves_the_limits(spec, trust, urdf, calls) -> None:
    assume(spec is not None)
    try:
        limits = limits_of(spec, trust, urdf)
    except ConfigError:
        return
    guard = CommandGuard(spec, limits, 0.5)
    low, high = np.asarray(spec.command_low), np.asarray(spec.command_high)
    for what, action, gap_s, measured, scale in calls:
        guard.speed_scale = scale
        before = guard.last
        try:
            if what == "act":
                sent = guard(np.array(action), gap_s, measured).values
            elif what == "again":
                sent = guard.start_again()
            elif what == "reset":
                sent = guard.reset()
            else:
                sent = guard.hold(measured if what == "hold at" else None)
        except (UnsafeActionError, ImplausibleStateError):
            assert before is None or guard.last.tolist() == before.tolist()
            continue
        if sent is None:
            continue
        assert sent.shape == (len(spec.actuated_joints),) and np.isfinite(sent).all()
        assert (sent >= limits.low).all() and (sent <= limits.high).all()
        if spec.command_mode == "position":
            assert (sent >= low).all() and (sent <= high).all()
