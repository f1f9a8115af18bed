"""The four Adroit hand tasks (Rajeswaran et al. 2018, arXiv 1709.10087) of gymnasium-robotics."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import redirect_stderr
from functools import partial
from io import StringIO
from types import ModuleType

import numpy as np

from sim_bridge.render.renderer import use_backend
from sim_bridge.task import tasks
from sim_bridge.tasks.model_joints import actuator_commands
from sim_bridge.tasks.mujoco_task import MujocoTask

_ACTION_REPEAT = 2  # VRL3 (arXiv 2202.10324) and SAM-G use it for Adroit
_EPISODE_STEPS = 100  # 200 simulator steps of 0.01 s
_HAND = {"hand": "forearm"}


class AdroitTask(MujocoTask):
    """A dexterous hand on an arm. Commands are joint position targets, in rad or m.

    ``state`` is the environment's own observation, and the reward its dense one, as it is since
    gymnasium-robotics 1.2.1: not that of older publications. ``success`` stays True once the goal
    was reached at any simulator step of the episode, as papers on Adroit count it.

    :param env: class name in ``gymnasium_robotics.envs.adroit_hand``.
    """

    def __init__(
        self,
        *,
        name: str,
        env: str,
        bodies: Mapping[str, str],
        sites: Mapping[str, str] | None = None,
        height: int,
        width: int,
        shadows: bool,
    ) -> None:
        self._env = getattr(_environments(), env)()
        super().__init__(
            name=name,
            model=self._env.model,
            data=self._env.data,
            commands=actuator_commands(self._env.model, "position"),
            sim_dt_s=self._env.dt,
            action_repeat=_ACTION_REPEAT,
            episode_steps=_EPISODE_STEPS,
            default_camera="fixed",
            bodies=bodies,
            sites=sites or {},
            height=height,
            width=width,
            shadows=shadows,
        )

    def _restart(self, seed: int) -> tuple[np.ndarray, bool]:
        observation, _ = self._env.reset(seed=seed)
        return observation, False

    def _advance(self, command: np.ndarray) -> tuple[np.ndarray, float, bool]:
        # The library's environment takes shares of the actuators' ranges, which are our limits.
        observation, reward, _, _, info = self._env.step(self.spec.command_to_action(command))
        return observation, float(reward), bool(info["success"])


def _environments() -> ModuleType:
    use_backend()
    # Its import prints, in every process anew, that dense rewards are not those of 1.2.0 any more.
    with redirect_stderr(StringIO()):
        from gymnasium_robotics.envs import adroit_hand
    return adroit_hand


def _register(
    name: str, env: str, bodies: Mapping[str, str], sites: Mapping[str, str] | None = None
) -> None:
    tasks.register(name)(partial(AdroitTask, name=name, env=env, bodies=bodies, sites=sites))


_register("adroit_door", "AdroitHandDoorEnv", _HAND | {"door": "frame", "latch": "latch"})
_register(
    "adroit_hammer", "AdroitHandHammerEnv", _HAND | {"hammer": "Object", "nail": "nail_board"}
)
_register("adroit_pen", "AdroitHandPenEnv", _HAND | {"pen": "Object", "goal": "target"})
_register(
    "adroit_relocate", "AdroitHandRelocateEnv", _HAND | {"ball": "Object"}, {"goal": "target"}
)
