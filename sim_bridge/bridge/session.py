"""Episodes on one clock: what the bridge does, without ROS."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from samg_ros.errors import SimulationError
from sim_bridge.perturbations.grammar import Perturbation
from sim_bridge.scenes.scene import Scene
from sim_bridge.task import JointState, StepResult

# Simulated time between episodes. Longer than any step, so that a reader of a gap like this in
# the stamps knows that the world was set anew.
RESET_GAP_NS = 1_000_000_000


@dataclass(frozen=True)
class SessionFrame:
    """Everything the bridge publishes of one control step, under one stamp.

    ``rgb``: uint8 [H, W, 3]. ``targets``: uint8 [H, W] ids, the true segmentation. ``fovy_rad``:
    the camera's vertical field of view. ``depth``: float32 [H, W] in m, see ``SceneFrame``.
    """

    stamp_ns: int
    rgb: np.ndarray
    targets: np.ndarray
    joints: JointState
    fovy_rad: float
    depth: np.ndarray | None = None


@dataclass(frozen=True)
class EpisodeStatus:
    """How the running episode stands. ``success`` is None for tasks that only have a return."""

    episode: int
    seed: int
    step: int
    reward: float
    return_: float
    success: bool | None
    done: bool


class Session:
    """Runs seeded episodes of a scene one after the other; stamps never go back.

    :param stop_on_success: an episode is done at its first success, not only at its last step.
    :param with_depth: every frame has depth too.
    """

    def __init__(
        self, scene: Scene, camera: str | None, *, stop_on_success: bool, with_depth: bool = False
    ) -> None:
        self._scene = scene
        self._camera = camera
        self._stop_on_success = stop_on_success
        self._with_depth = with_depth
        self._base_ns = self._began_ns = 0
        self._stamp_ns = 0
        self._return = 0.0
        self._episode = -1
        self._seed = 0
        self._status: EpisodeStatus | None = None

    def reset(self, seed: int) -> None:
        """Begin the episode of ``seed``. :raises SimulationError: bad seed."""
        result = self._scene.reset(seed)
        self._episode += 1
        self._seed = seed
        self._return = 0.0
        self._base_ns = self._stamp_ns + RESET_GAP_NS - round(result.time_s * 1e9)
        self._take(result)
        self._began_ns = self._stamp_ns

    def step(self, command: np.ndarray) -> None:
        """One control step. :raises SimulationError: see ``Task.step``, which takes the same."""
        result = self._scene.step(command)
        self._return += result.reward
        self._take(result)

    @property
    def status(self) -> EpisodeStatus:
        """:raises SimulationError: before the first reset."""
        if self._status is None:
            raise SimulationError("no episode yet; call reset(seed) first")
        return self._status

    @property
    def stamp_ns(self) -> int:
        """The simulated time, ns, since before the first episode."""
        return self._stamp_ns

    @property
    def began_ns(self) -> int:
        """The stamp of the running episode's first frame, ns."""
        return self._began_ns

    def observe(self) -> SessionFrame:
        """Render the current state."""
        frame = self._scene.observe(self._camera, with_depth=self._with_depth)
        return SessionFrame(
            stamp_ns=self._stamp_ns,
            rgb=frame.rgb,
            targets=frame.targets,
            joints=self._scene.task.joint_state(),
            fovy_rad=frame.fovy_rad,
            depth=frame.depth,
        )

    def perturb(self, perturbation: Perturbation) -> None:
        """Perturb pictures from the next one on. :raises ImageError: see ``Scene.perturb``."""
        self._scene.perturb(perturbation)

    def close(self) -> None:
        self._scene.close()

    def _take(self, result: StepResult) -> None:
        self._stamp_ns = self._base_ns + round(result.time_s * 1e9)
        reached = bool(result.success) and self._stop_on_success
        self._status = EpisodeStatus(
            episode=self._episode,
            seed=self._seed,
            step=result.step,
            reward=result.reward,
            return_=self._return,
            success=result.success,
            done=result.done or reached,
        )
