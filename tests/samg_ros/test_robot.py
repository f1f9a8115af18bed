"""A robot's specification: what no robot could be driven by is refused where it is made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from toy_spec import SPEC

from samg_ros.errors import ConfigError


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"command_low": (0.0,)}, "not one finite pair a joint"),
        ({"command_low": (0.0, np.nan)}, "not one finite pair a joint"),
        ({"command_high": (1.0, np.inf)}, "not one finite pair a joint"),
        ({"command_low": (1.0, 1.0)}, "not below its upper one"),
        ({"command_high": (1.0, 1e300)}, "lies beyond 1e"),
        ({"control_dt_s": float("nan")}, "control step of nan"),
        ({"control_dt_s": 0.0}, "control step of 0"),
        ({"actuated_joints": ("a", "a")}, "joint 'a' is named twice"),
        ({"actuated_joints": (), "command_low": (), "command_high": ()}, "not one finite pair"),
    ],
)
def test_a_specification_that_drives_nothing_is_refused(change: dict, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        replace(SPEC, **change)
