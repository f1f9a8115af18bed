"""Every simulated task as a Gymnasium environment.

    env = gymnasium.make("samg/adroit_door-v0", perturb="video_hard=DIR", size=84, masks="oracle")
    env = sim_bridge.make("adroit_door", ...)  # the same options (EnvConfig); without wrappers

    observation, info = env.reset(seed=0)
    observation["rgb"]     # uint8 [S, S, 3], what a policy sees: masked, and shrunk to size
    observation["mask"]    # uint8 [S, S], the simulator's own: 0, or 1 + index in targets
    observation["joints"]  # float32 [J], rad or m, of the robot's joints
    observation["state"]   # float64 [D], everything, for teachers
    observation, reward, terminated, truncated, info = env.step(action)  # float [A] in [-1, 1]
    info["success"]        # bool; False where a task only has a return

What ``keys`` leaves out is not rendered. The same seed gives the same episode, whatever is shown
of it. ``env.unwrapped.task_spec`` is the task's :class:`sim_bridge.task.TaskSpec`, and
``env.unwrapped.scene`` what it is simulated in. :mod:`sim_bridge.envs.vector` has many copies.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import cv2
import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict

from samg_ros.errors import ConfigError, SimulationError
from samg_ros.parameters import documented, parameter, validate
from sim_bridge.render import CAMERA_SIZE
from sim_bridge.scenes import MASKS
from sim_bridge.scenes.scene import Scene, make_scene
from sim_bridge.scenes.views import EpisodeView, area_resize
from sim_bridge.task import StepResult, TaskSpec, check_seed

KEYS = ("rgb", "mask", "joints", "state")
RENDER_MODES = (None, "rgb_array")

Observation = dict[str, np.ndarray]


@documented
@dataclass(frozen=True)
class EnvConfig:
    """What is simulated, and what is shown of it."""

    perturb: str = parameter("none", "perturbation, such as video_hard=FOLDER,camera_pose=medium")
    size: int = parameter(84, "side of rgb and mask", unit="px", low=1, high=2048)
    masks: str = parameter("none", "what rgb shows", choices=MASKS)
    keys: tuple[str, ...] = parameter(KEYS, f"parts of an observation, of: {', '.join(KEYS)}")
    camera: str = parameter("", "camera of the task; empty takes its default")
    camera_size: int = parameter(
        CAMERA_SIZE,
        "side of the camera's picture, which is masked and then shrunk to size",
        unit="px",
        low=1,
        high=2048,
    )
    joint_names: tuple[str, ...] = parameter(
        (), "whose positions joints has; empty takes the robot's own"
    )
    stop_on_success: bool = parameter(True, "the first success terminates the episode")
    shadows: bool = parameter(False, "render shadows and reflections (slow)")

    def __post_init__(self) -> None:
        validate(self)
        if not self.keys or set(self.keys) - set(KEYS):
            raise ConfigError(f"keys is {self.keys}; name some of: {', '.join(KEYS)}")
        if self.size > self.camera_size:
            raise ConfigError(
                f"size is {self.size}, more than camera_size {self.camera_size}: a picture is "
                "only ever shrunk; make the camera's as large"
            )


def make(task: str, *, render_mode: str | None = None, **options: Any) -> SamgEnv:
    """The environment of the task called ``task``.

    :param render_mode: ``rgb_array`` for ``render()``. :param options: of :class:`EnvConfig`.
    :raises ConfigError: an unknown task, option or value.
    :raises SimulationError: the simulator cannot start.
    """
    known = [field.name for field in fields(EnvConfig)]
    if unknown := sorted(options.keys() - set(known)):
        raise ConfigError(f"unknown option {unknown[0]!r}; choose among: {', '.join(known)}")
    values: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in options.items()
    }
    config = EnvConfig(**values)
    scene = make_scene(
        task,
        height=config.camera_size,
        width=config.camera_size,
        shadows=config.shadows,
        perturb=config.perturb,
    )
    try:
        return SamgEnv(scene, config, render_mode)
    except BaseException:
        scene.close()
        raise


class SamgEnv(gymnasium.Env[Observation, np.ndarray]):
    """A scene as an environment; see the module.

    :param scene: with a square camera; it belongs to the environment from now on.
    :param config: what is shown; how the scene itself is made, it does not decide here.
    :raises ConfigError: unknown joints or render mode. :raises SimulationError: unknown camera.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}  # noqa: RUF012 (gymnasium's own)

    def __init__(
        self, scene: Scene, config: EnvConfig | None = None, render_mode: str | None = None
    ) -> None:
        if render_mode not in RENDER_MODES:
            raise ConfigError(f"render_mode is {render_mode!r}; it can be None or 'rgb_array'")
        self.scene, self.render_mode = scene, render_mode
        self.task_spec = spec = scene.task.spec
        self.metadata = {**self.metadata, "render_fps": round(1 / spec.control_dt_s)}
        self._config = config = config or EnvConfig()
        self._camera = config.camera or spec.default_camera
        if self._camera not in spec.cameras:
            known = ", ".join(spec.cameras)
            raise SimulationError(f"unknown camera {self._camera!r}; choose one of: {known}")
        self._joints = [_index(spec, name) for name in config.joint_names or spec.proprioception]
        self.action_space = Box(-1, 1, (spec.action_size,), np.float32)
        spaces = {key: self._space(key) for key in config.keys}
        self.observation_space = Dict(spaces)  # type: ignore[arg-type, assignment]
        self._last: StepResult | None = None
        self._over = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode.

        :param seed: of the episode; None draws one. :param options: ignored.
        :raises SimulationError: bad seed. :raises ImageError: a clip cannot be read any more.
        """
        if seed is not None:
            check_seed(seed)
        super().reset(seed=seed)
        episode = int(self.np_random.integers(2**32)) if seed is None else seed
        self._view = EpisodeView(self._config.masks, episode)
        self._last, self._over = self.scene.reset(episode), False
        self._observation = self._observe(self._last)
        return self._observation, self._info(self._last)

    def step(self, action: np.ndarray) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """One control step.

        After an episode's end nothing moves and nothing is rendered: the observation stays, the
        reward is 0. So copies that have ended may wait for others of their vector.

        :param action: float [A]; values beyond [-1, 1] are clipped.
        :raises SimulationError: before a reset; a wrong shape, NaN or infinity.
        """
        if self._last is None:
            raise SimulationError(f"{self.task_spec.name}: call reset before step")
        reward = 0.0
        if self._over:
            self._observation = {key: value.copy() for key, value in self._observation.items()}
        else:
            self._last = self.scene.act(action)
            reward = self._last.reward
            self._observation = self._observe(self._last)
        last = self._last
        terminated = self._config.stop_on_success and bool(last.success)
        self._over = terminated or last.done
        return self._observation, reward, terminated, last.done, self._info(last)

    def render(self) -> np.ndarray | None:  # type: ignore[override]
        """:return: uint8 [H, W, 3], what the camera sees; None without a ``render_mode``."""
        return self.scene.picture(self._camera) if self.render_mode else None

    def close(self) -> None:
        """Free the renderer; closing twice does nothing."""
        self.scene.close()

    def _observe(self, result: StepResult) -> Observation:
        observation: Observation = {}
        keys = self._config.keys
        if "mask" in keys or "rgb" in keys:
            observation |= self._pictures()
        if "joints" in keys:
            position = self.scene.task.joint_state().position
            observation["joints"] = position[self._joints].astype(np.float32)
        if "state" in keys:
            observation["state"] = result.state
        return {key: observation[key] for key in keys}

    def _pictures(self) -> Observation:
        config = self._config
        if "mask" in config.keys or config.masks.startswith("oracle"):
            frame = self.scene.observe(self._camera)
            rgb, targets = frame.rgb, frame.targets
        else:
            rgb = self.scene.picture(self._camera)
            targets = np.zeros(rgb.shape[:2], np.uint8)  # nothing looks at them
        shown = self._view(rgb, targets)
        if config.size == config.camera_size:
            return {"rgb": shown, "mask": targets}
        side = (config.size, config.size)
        small = cv2.resize(targets, side, interpolation=cv2.INTER_NEAREST_EXACT)
        return {"rgb": area_resize(shown, config.size), "mask": small}

    def _space(self, key: str) -> Box:
        size, spec = self._config.size, self.task_spec
        if key == "rgb":
            return Box(0, 255, (size, size, 3), np.uint8)
        if key == "mask":
            return Box(0, len(spec.targets), (size, size), np.uint8)
        if key == "joints":
            return Box(-np.inf, np.inf, (len(self._joints),), np.float32)
        # How long a state is, only a reset shows.
        return Box(-np.inf, np.inf, self.scene.task.reset(0).state.shape, np.float64)

    def _info(self, result: StepResult) -> dict[str, Any]:
        return {"success": bool(result.success)}


def _index(spec: TaskSpec, name: str) -> int:
    if name not in spec.joint_names:
        known = ", ".join(spec.joint_names)
        raise ConfigError(f"{spec.name} has no joint {name!r}; choose among: {known}")
    return spec.joint_names.index(name)
