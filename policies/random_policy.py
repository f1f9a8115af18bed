"""A baseline that ignores what it sees."""

from __future__ import annotations

import numpy as np

from policies.base import CAMERA_SIZE, Observation, PolicySpec
from policies.registry import policies


class RandomPolicy:
    """Smooth random actions: an AR(1) process, squashed into [-1, 1].

    Smooth because independent draws at every step cancel out and hardly move an arm. Each reset
    starts the same sequence again; other sequences come from other seeds.
    """

    def __init__(self, spec: PolicySpec, seed: int = 0, memory: float = 0.9) -> None:
        self.spec = spec
        self._seed = seed
        self._memory = memory
        self.reset()

    def reset(self) -> None:
        """Start the sequence again."""
        self._rng = np.random.default_rng(self._seed)
        self._level = self._rng.normal(size=len(self.spec.actuated_joints))

    def act(self, observation: Observation) -> np.ndarray:
        """:return: float32 [A] in [-1, 1]; ``observation`` is not looked at."""
        fresh = self._rng.normal(size=self._level.shape)
        # The weights keep the variance at 1.
        self._level = self._memory * self._level + np.sqrt(1 - self._memory**2) * fresh
        return np.tanh(self._level).astype(np.float32)


@policies.register("random")
def random_policy(task: str) -> RandomPolicy:
    """The baseline for ``task``, which needs the simulator for the task's joints and limits.

    :raises ConfigError: unknown task. :raises SimulationError: the simulator cannot start.
    """
    from sim_bridge.task import make_task

    simulated = make_task(task)
    try:
        return RandomPolicy(
            PolicySpec.from_task(simulated.spec, image_size=CAMERA_SIZE, frame_stack=1)
        )
    finally:
        simulated.close()
