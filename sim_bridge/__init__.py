"""Simulated worlds: tasks, their perturbations, and the bridge that puts them behind ROS.

    import gymnasium, sim_bridge

    env = gymnasium.make("samg/adroit_door-v0", perturb="photos", masks="oracle")
    env = sim_bridge.make("adroit_door", perturb="photos", masks="oracle")  # without wrappers
    envs = sim_bridge.make_vector("adroit_door", 4)  # worker processes

See :mod:`sim_bridge.envs.env`. Importing this package costs nothing: all else comes with its use.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.abc import MetaPathFinder
from typing import Any

TASKS = (
    "adroit_door",
    "adroit_hammer",
    "adroit_pen",
    "adroit_relocate",
    "arm_lift_peg_upright",
    "arm_lift_peg_upright_ee",
    "ball_in_cup_catch",
    "cartpole_balance",
    "cartpole_swingup",
    "cheetah_run",
    "finger_spin",
    "hopper_hop",
    "hopper_stand",
    "quadruped_walk",
    "walker_stand",
    "walker_walk",
)
"""Every task's name: known without the simulators, which :data:`sim_bridge.task.tasks` imports."""

_HERE = {
    "EnvConfig": "sim_bridge.envs.env",
    "SamgEnv": "sim_bridge.envs.env",
    "make": "sim_bridge.envs.env",
    "make_vector": "sim_bridge.envs.vector",
}

__all__ = ["TASKS", "EnvConfig", "SamgEnv", "make", "make_vector"]


def __getattr__(name: str) -> Any:
    if name not in _HERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HERE[name]), name)


def _register() -> None:
    """Make the tasks known to gymnasium, as ``samg/TASK-v0``."""
    from gymnasium import register

    for task in TASKS:
        register(f"samg/{task}-v0", "sim_bridge.envs.env:make", kwargs={"task": task})


class _WithGymnasium(MetaPathFinder):
    """Registers the tasks when gymnasium is imported, at whatever time that is.

    Importing it here would take half of the time of every command that needs no environment.
    """

    _looks = False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != "gymnasium" or self._looks:
            return None
        self._looks = True  # the question below comes here again
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._looks = False
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_register(module: Any) -> None:
                sys.meta_path.remove(self)
                load(module)
                _register()

            spec.loader.exec_module = load_and_register  # type: ignore[method-assign]
        return spec


if "gymnasium" in sys.modules:
    _register()
else:
    sys.meta_path.insert(0, _WithGymnasium())
