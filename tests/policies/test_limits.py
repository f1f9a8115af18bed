"""Limits: the policy's, narrowed by a robot's description and by what the user trusts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toy_spec import SPEC

from policies.limits import Trust, UrdfLimits, limits_of, load_urdf, read_urdf
from samg_ros.errors import ConfigError

URDF = """<?xml version="1.0"?>
<robot name="toy">
  <joint name="base" type="fixed"/>
  <joint name="a" type="revolute"><limit lower="-0.5" upper="2" velocity="3" effort="7"/></joint>
  <joint name="b" type="continuous"><limit velocity="1.5" effort="2"/></joint>
  <joint name="c" type="prismatic"><limit lower="0" upper="0.1" velocity="1" effort="1"/></joint>
</robot>"""


def test_the_policys_own_where_nothing_else_is_known() -> None:
    limits = limits_of(SPEC, Trust())
    assert (limits.low.tolist(), limits.high.tolist()) == ([-1, 0], [1, 4])
    assert limits.max_rate.tolist() == [100, 200]  # the whole range in a control step
    assert np.isinf(limits.max_acceleration).all()
    assert (limits.reach_low.tolist(), limits.reach_high.tolist()) == ([-2, -2], [2, 6])


def test_a_urdf_narrows_positions_and_tells_speeds() -> None:
    limits = limits_of(SPEC, Trust(), read_urdf(URDF))
    assert (limits.low.tolist(), limits.high.tolist()) == ([-0.5, 0], [1, 4])
    assert limits.max_rate.tolist() == [3, 1.5]
    assert limits.reach_low[0] == pytest.approx(-0.5 - 0.5 * 2.5)
    assert limits_of(SPEC, Trust(max_rate=2), read_urdf(URDF)).max_rate.tolist() == [2, 1.5]


@pytest.mark.parametrize(
    ("mode", "most"), [("velocity", ([-1, 0], [1, 1.5])), ("effort", ([-1, 0], [1, 2]))]
)
def test_a_urdf_narrows_velocities_and_efforts(mode: str, most: tuple) -> None:
    limits = limits_of(replace(SPEC, command_mode=mode), Trust(), read_urdf(URDF))
    assert (limits.low.tolist(), limits.high.tolist()) == most


def test_a_share_of_the_range_lies_around_its_middle() -> None:
    limits = limits_of(SPEC, Trust(range_share=0.25))
    assert (limits.low.tolist(), limits.high.tolist()) == ([-0.25, 1.5], [0.25, 2.5])


def test_a_robot_without_a_part_of_the_range_is_refused() -> None:
    with pytest.raises(ConfigError, match="nothing is left of joint a's range"):
        limits_of(SPEC, Trust(), {"a": UrdfLimits((2.0, 3.0))})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "cannot be read"),
        ("<robot", "cannot be read"),
        ("<sdf/>", "root is <sdf>"),
        (URDF.replace('"-0.5"', '"left"'), "joint a: lower is 'left', not a number"),
        (URDF.replace('"-0.5"', '"nan"'), "joint a: lower is 'nan', not a number"),
        (URDF.replace('"-0.5"', '"5"'), "joint a: its limits are upside down"),
        (URDF.replace('"3"', '"-3"'), "joint a: its limits are upside down"),
        ("<robot>" + " " * 16_000_000 + "</robot>", "longer than"),
    ],
)
def test_a_description_that_is_none_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        read_urdf(text)


def test_a_file_is_read_and_a_missing_one_told(tmp_path: Path) -> None:
    path = tmp_path / "toy.urdf"
    with pytest.raises(ConfigError, match=r"toy\.urdf cannot be read"):
        load_urdf(path)
    path.write_text(URDF)
    assert load_urdf(path) == read_urdf(URDF)
    assert load_urdf(path)["b"] == UrdfLimits((-np.inf, np.inf), 1.5, 2.0)
