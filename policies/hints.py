"""What tells a teacher in training how near a reward is that is zero until all is right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from samg_ros.errors import ConfigError

Hint = Callable[[Any], float]
"""From a task's ``mujoco.MjData``: 0 where the reward is far, 1 where it is given."""

_HOPPER_STANDS = 0.6  # m of the torso over the foot, where the suite's reward begins


def hint_for(task_name: str) -> Hint:
    """:raises ConfigError: ``task_name`` has none."""
    try:
        return _HINTS[task_name]
    except KeyError:
        raise ConfigError(
            f"{task_name} has no hint beside its reward: leave --sac.hint at 0 "
            f"(there are hints for {', '.join(sorted(_HINTS))})"
        ) from None


def _hopper_height(data: Any) -> float:
    height = data.body("torso").xipos[2] - data.body("foot").xipos[2]
    return float(min(max(height / _HOPPER_STANDS, 0.0), 1.0))


_HINTS: dict[str, Hint] = {"hopper_hop": _hopper_height, "hopper_stand": _hopper_height}
