"""Other light: the directions and colours of SegDAC's benchmark (arXiv 2508.09325)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sim_bridge.perturbations.grammar import Kind, intensity, perturbations
from sim_bridge.render.parts import TaskParts

if TYPE_CHECKING:
    from sim_bridge.render.stage import Stage


# Which way two lights shine, x toward the camera and z up, as in the benchmark.
_DIRECTIONS = {
    "easy": ((0.0, 1.0, -1.0), (0.0, 0.0, -1.0)),
    "medium": ((0.0, 0.0, -0.1), (1.0, 1.0, -0.1)),
    "hard": ((0.0, 0.0, 1.0), (1.0, 1.0, 1.0)),
}
_AMBIENT = {"easy": (0.8, 0.8, 0.8), "medium": (0.0, 0.8, 0.0), "hard": (0.0, 0.0, 1.0)}


class LightDirection:
    """Two directional lights in the place of the task's own, together as bright as they were.

    The benchmark's directions are turned about the vertical with the task's camera. A headlight
    stays: it is what lights a task from the camera, not from a direction of the world.
    """

    def __init__(self, level: str) -> None:
        self._directions = np.array(_DIRECTIONS[level])

    def draw(self, rng: np.random.Generator) -> None:
        """Nothing to draw."""

    def apply(self, stage: Stage) -> None:
        scene = stage.scene
        own = [light for light in scene.lights[: scene.nlight] if not light.headlight]
        first = scene.nlight - len(own)  # headlights come first
        scene.nlight = first + len(self._directions)
        lights = scene.lights[first : scene.nlight]
        brightness = {
            kind: sum(getattr(light, kind).astype(float) for light in own) / len(lights)
            for kind in ("ambient", "diffuse", "specular")
        }
        for light, direction in zip(lights, _turned(stage, self._directions), strict=True):
            _shine(stage, light, direction)
            for kind, value in brightness.items():
                getattr(light, kind)[:] = value


class LightColor:
    """Ambient light of another colour, in the place of all the ambient light there is."""

    def __init__(self, level: str) -> None:
        self._colour = _AMBIENT[level]

    def draw(self, rng: np.random.Generator) -> None:
        """Nothing to draw."""

    def apply(self, stage: Stage) -> None:
        scene = stage.scene
        for light in scene.lights[: scene.nlight]:
            light.ambient[:] = 0
        scene.nlight += 1
        light = scene.lights[scene.nlight - 1]
        _shine(stage, light, np.array([0.0, 0.0, -1.0]))
        light.castshadow = 0
        light.diffuse[:] = light.specular[:] = 0
        light.ambient[:] = self._colour


def _turned(stage: Stage, directions: np.ndarray) -> np.ndarray:
    """From the benchmark's axes to the task's, float64 [N, 3], of length 1."""
    _, forward = stage.camera_frame()
    level = float(np.hypot(forward[0], forward[1]))
    toward = -forward[:2] / level if level > 1e-6 else np.array([1.0, 0.0])  # else it looks down
    axes = np.array([[*toward, 0], [-toward[1], toward[0], 0], [0, 0, 1]])
    return directions @ axes / np.linalg.norm(directions, axis=1, keepdims=True)


def _shine(stage: Stage, light: Any, direction: np.ndarray) -> None:
    """Make a light directional. It keeps nothing of what it was."""
    import mujoco

    stat = stage.model.stat
    light.type = mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
    light.id, light.texid, light.headlight, light.castshadow = 0, -1, 0, 1
    light.pos[:] = stat.center - 2 * stat.extent * direction  # from here shadows are cast
    light.dir[:] = direction
    light.attenuation[:] = 1, 0, 0
    light.cutoff = light.exponent = light.bulbradius = light.intensity = light.softness = 0.0


def _direction(argument: str, parts: TaskParts) -> LightDirection:
    return LightDirection(intensity("light_direction", argument))


def _color(argument: str, parts: TaskParts) -> LightColor:
    return LightColor(intensity("light_color", argument))


perturbations.register("light_direction")(
    Kind(_direction, "=easy|medium|hard", "light from elsewhere; hard: from below")
)
perturbations.register("light_color")(
    Kind(_color, "=easy|medium|hard", "ambient light: bright, green, blue")
)
