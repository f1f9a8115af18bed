"""Joint commands and positions between messages and arrays."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from samg_ros.errors import ConfigError
from samg_ros.robot import JointCommand

NO_ROS = "sensor_msgs cannot be imported: install the extra [ros] or source a distribution"
JointState: Any = pytest.importorskip("sensor_msgs.msg", reason=NO_ROS).JointState
joints: Any = importlib.import_module("samg_ros.ros.joints")
stamps: Any = importlib.import_module("samg_ros.ros.qos")

NAMES = ("shoulder", "elbow", "wrist")
VALUES = [0.1, -2.5, 1e-9]
MODES = ("position", "velocity", "effort")
STAMP_NS = 1_234_567_890_123_456_789


def state(names=NAMES, mode: str = "position", values=VALUES) -> Any:
    """A message with one field filled."""
    msg = JointState(name=list(names))
    setattr(msg, mode, [float(value) for value in values])
    return msg


class TestCommands:
    @pytest.mark.parametrize("mode", MODES)
    def test_survive_a_round_trip(self, mode: str):
        before = JointCommand(NAMES, mode, np.array(VALUES), STAMP_NS)
        msg = joints.command_to_msg(before)
        filled = {field: list(getattr(msg, field)) for field in MODES}
        assert filled == {field: VALUES if field == mode else [] for field in MODES}
        after = joints.msg_to_command(msg, NAMES, mode)
        assert (after.names, after.mode, after.stamp_ns) == (NAMES, mode, STAMP_NS)
        assert after.values.dtype == np.float64 and after.values.tolist() == VALUES

    def test_come_in_any_order(self):
        msg = state(names=("wrist", "shoulder", "elbow"), values=(3, 1, 2))
        assert joints.msg_to_command(msg, NAMES, "position").values.tolist() == [1, 2, 3]

    @pytest.mark.parametrize(
        ("names", "values", "message"),
        [
            (("shoulder", "elbow"), (1, 2), r"unknown \[\], missing \['wrist'\]"),
            ((*NAMES, "tail"), (1, 2, 3, 4), r"unknown \['tail'\], missing \[\]"),
            (("a", "b", "c"), (1, 2, 3), r"unknown \['a', 'b', 'c'\], missing \['elbow'"),
            ((*NAMES, "wrist"), (1, 2, 3, 3), "command joints do not fit"),
            ((), (), "missing"),
        ],
    )
    def test_of_wrong_joints_are_refused(self, names, values, message: str):
        with pytest.raises(ConfigError, match=message):
            joints.msg_to_command(state(names, values=values), NAMES, "position")

    def test_a_joint_named_twice_is_told(self):
        with pytest.raises(ConfigError, match="wrist"):
            joints.msg_to_command(state((*NAMES, "wrist"), values=(1, 2, 3, 3)), NAMES, "position")

    @pytest.mark.parametrize("values", [(), (1, 2), (1, 2, 3, 4)])
    def test_of_a_wrong_length_are_refused(self, values):
        message = f"names 3 joints but has {len(values)} position values"
        with pytest.raises(ConfigError, match=message):
            joints.msg_to_command(state(values=values), NAMES, "position")

    def test_of_another_mode_are_refused(self):
        with pytest.raises(ConfigError, match="names 3 joints but has 0 effort values"):
            joints.msg_to_command(state(), NAMES, "effort")

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_that_are_not_finite_are_refused(self, value: float):
        with pytest.raises(ConfigError, match="joint elbow is not a finite number"):
            joints.msg_to_command(state(values=(1, value, 3)), NAMES, "position")


class TestForeignText:
    def test_thousands_of_names_are_refused_in_a_short_message(self):
        with pytest.raises(ConfigError, match="names 20000 joints; 3 are needed") as caught:
            joints.msg_to_command(
                state(["x" * 50] * 20_000, values=[0] * 20_000), NAMES, "position"
            )
        assert len(str(caught.value)) < 100

    def test_long_names_are_cut(self):
        names = ["x" * 100_000, "y\n", *"abcdefgh"]
        with pytest.raises(ConfigError, match="6 more") as caught:
            joints.msg_to_command(state(names, values=[0] * 10), NAMES, "position")
        assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)


@pytest.mark.parametrize("stamp_ns", [0, 1, 999_999_999, 1_000_000_000, STAMP_NS])
def test_stamps_survive_a_round_trip(stamp_ns: int):
    stamp = stamps.from_ns(stamp_ns)
    assert 0 <= stamp.nanosec < 1_000_000_000 and stamps.to_ns(stamp) == stamp_ns
