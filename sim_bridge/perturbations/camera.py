"""Another camera: the poses and fields of view of SegDAC's benchmark (arXiv 2508.09325)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sim_bridge.perturbations.grammar import Kind, intensity, perturbations
from sim_bridge.render.parts import TaskParts

if TYPE_CHECKING:
    from sim_bridge.render.stage import Stage


_UP = np.array([0.0, 0.0, 1.0])

# The benchmark's vertical fields of view, rad, and what they are changed from.
_FOVY = {"easy": 1.79519580205, "medium": 2.09439510239, "hard": 2.51327412287}
_BENCHMARK_FOVY = math.pi / 2
# An orbiting camera stays this far above the ground, in distances to the targets, or as far as the
# task's own camera is, if that is less.
_LEAST_HEIGHT = 0.1
_AT_ALL = 0.01  # but never below it, even where the task's own is


@dataclass(frozen=True)
class _Orbit:
    """How the benchmark moves its camera about the point looked at, in proportion.

    :param azimuth_deg: to its left. :param elevation: times the height angle it had.
    :param distance: times the distance it had.
    :param shift: of the point looked at: right, toward the camera, up; in half picture heights
        there.
    """

    azimuth_deg: float
    elevation: float
    distance: float
    shift: tuple[float, float, float]


# From eye (.3, 0, .6) looking at (-.1, 0, .1), to the poses in ``task_parts``.
_ORBITS = {
    "easy": _Orbit(0.0, 1.07, 1.14, (0.0, 0.16, -0.16)),
    "medium": _Orbit(-40.6, 0.46, 1.57, (0.47, -0.31, -0.31)),
    "hard": _Orbit(-71.6, 0.34, 2.07, (0.47, -0.16, -0.47)),
}


class CameraPose:
    """Moves every camera; the lights stay where they are.

    A task of the benchmark gets its very pose. Elsewhere the camera goes about the targets by the
    same angles and proportions, and a camera that tracks goes on tracking.
    """

    def __init__(self, level: str, parts: TaskParts) -> None:
        self._orbit = _ORBITS[level]
        self._view = parts.benchmark_views.get(level)
        self._ground = parts.ground

    def draw(self, rng: np.random.Generator) -> None:
        """Nothing to draw."""

    def apply(self, stage: Stage) -> None:
        if self._view:
            eye, target = map(np.array, self._view)
        else:
            eye, target = _orbited(stage, self._orbit)
            self._keep_above_ground(stage, eye)
        forward = (target - eye) / np.linalg.norm(target - eye)
        right = np.cross(forward, _UP)
        up = np.cross(right / np.linalg.norm(right), forward)
        for camera in stage.scene.camera:
            camera.pos[:], camera.forward[:], camera.up[:] = eye, forward, up

    def _keep_above_ground(self, stage: Stage, eye: np.ndarray) -> None:
        """A camera that tracks sinks with a robot that falls. From below, the ground is drawn
        translucent: the picture would show what the true mask takes for hidden."""
        heights = stage.heights(self._ground)
        if heights.size:
            position, _ = stage.camera_frame()
            own = max(position[2] - heights.max(), _AT_ALL * stage.camera_depth())
            least = min(own, _LEAST_HEIGHT * stage.camera_depth())
            eye[2] = max(eye[2], heights.max() + least)


class CameraFov:
    """Widens the view of every camera by what the benchmark's 90 degrees are widened."""

    def __init__(self, level: str) -> None:
        self._zoom = math.tan(_FOVY[level] / 2) / math.tan(_BENCHMARK_FOVY / 2)

    def draw(self, rng: np.random.Generator) -> None:
        """Nothing to draw."""

    def apply(self, stage: Stage) -> None:
        for camera in stage.scene.camera:
            camera.frustum_top *= self._zoom
            camera.frustum_bottom *= self._zoom


def _orbited(stage: Stage, orbit: _Orbit) -> tuple[np.ndarray, np.ndarray]:
    """:return: eye and the point looked at, float64 [3] each, m."""
    position, forward = stage.camera_frame()
    depth = stage.camera_depth()
    azimuth = math.atan2(-forward[1], -forward[0])
    elevation = math.asin(np.clip(-forward[2], -1, 1)) * orbit.elevation
    toward = _direction(azimuth, 0.0)
    axes = np.stack([np.cross(_UP, toward), toward, _UP])
    half_height = depth * math.tan(stage.camera_fovy_rad() / 2)
    target = position + depth * forward + half_height * np.array(orbit.shift) @ axes
    azimuth += math.radians(orbit.azimuth_deg)
    return target + orbit.distance * depth * _direction(azimuth, elevation), target


def _direction(azimuth: float, elevation: float) -> np.ndarray:
    across = math.cos(elevation)
    return np.array([across * math.cos(azimuth), across * math.sin(azimuth), math.sin(elevation)])


def _pose(argument: str, parts: TaskParts) -> CameraPose:
    return CameraPose(intensity("camera_pose", argument), parts)


def _fov(argument: str, parts: TaskParts) -> CameraFov:
    return CameraFov(intensity("camera_fov", argument))


perturbations.register("camera_pose")(
    Kind(_pose, "=easy|medium|hard", "the camera stands elsewhere")
)
perturbations.register("camera_fov")(Kind(_fov, "=easy|medium|hard", "a wider field of view"))
