"""What a picture is drawn from: where a perturbation changes it, before it is drawn."""

from __future__ import annotations

from typing import Protocol

import mujoco
import numpy as np

from sim_bridge.render.paints import SKY, Paints
from sim_bridge.render.parts import Part

_COLOUR_MAP = mujoco.mjtTextureRole.mjTEXROLE_RGB


class Edit(Protocol):
    """One thing that a perturbation changes."""

    def apply(self, stage: Stage) -> None:
        """Change the scene of one picture."""
        ...


class Stage:
    """The abstract scene of one picture: its geoms, lights and camera.

    MuJoCo makes it anew from model and data for every picture. So a change here is gone with the
    picture, and cannot reach the simulation; ``model`` and ``data`` are for reading only.

    :param bodies: the bodies of the task's targets.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        scene: mujoco.MjvScene,
        paints: Paints,
        bodies: tuple[str, ...],
    ) -> None:
        self.model, self.data, self.scene, self.paints = model, data, scene, paints
        self.camera = ""
        self._depths: np.ndarray = _target_depths(model, bodies)
        self._ids: dict[Part, frozenset[int]] = {}

    def begin(self, camera: str) -> None:
        """The scene was made for a picture from ``camera``."""
        self.camera = camera
        self.paints.restore_sky()

    def geoms(self, part: Part) -> list[mujoco.MjvGeom]:
        """The geoms of ``part`` that are in the picture's scene."""
        if part not in self._ids:
            self._ids[part] = frozenset(part.geom_ids(self.model).tolist())
        return self._with_ids(self._ids[part])

    def heights(self, part: Part) -> np.ndarray:
        """:return: z of the middle of each geom of ``part``, float64 [N], m."""
        return self.data.geom_xpos[part.geom_ids(self.model), 2]

    def geoms_of_material(self, material: str) -> list[mujoco.MjvGeom]:
        """The geoms whose material is ``material``."""
        ids = np.flatnonzero(self.model.geom_matid == self.model.material(material).id)
        return self._with_ids(frozenset(ids.tolist()))

    def own_texture(self, geom: mujoco.MjvGeom) -> np.ndarray | None:
        """The texture that a geom has in the model, whatever it was given since.

        :return: uint8 [rows, columns, 3], not to be written to; None where it has none.
        """
        material = self.model.geom_matid[geom.objid]
        texture = -1 if material < 0 else self.model.mat_texid[material, _COLOUR_MAP]
        return None if texture < 0 else self._pixels(texture)

    def sky(self) -> np.ndarray:
        """The model's sky, uint8 [6 S, S, 3], not to be written to."""
        return self._pixels(np.flatnonzero(self.model.tex_type == SKY)[0])

    def camera_frame(self) -> tuple[np.ndarray, np.ndarray]:
        """Where the task's own camera is. :return: position [3], m, and unit direction [3]."""
        index = self.model.camera(self.camera).id
        return self.data.cam_xpos[index].copy(), -self.data.cam_xmat[index].reshape(3, 3)[:, 2]

    def camera_fovy_rad(self) -> float:
        """:return: vertical field of view of the task's own camera."""
        return float(np.radians(self.model.camera(self.camera).fovy.item()))

    def camera_depth(self) -> float:
        """How far along the camera's axis the targets are in the model's first pose, m."""
        return float(self._depths[self.model.camera(self.camera).id])

    def _pixels(self, texture: int) -> np.ndarray:
        shape = int(self.model.tex_height[texture]), int(self.model.tex_width[texture]), 3
        start = self.model.tex_adr[texture]
        return self.model.tex_data[start : start + np.prod(shape)].reshape(shape)

    def _with_ids(self, ids: frozenset[int]) -> list[mujoco.MjvGeom]:
        kind = mujoco.mjtObj.mjOBJ_GEOM
        shown = self.scene.geoms[: self.scene.ngeom]
        return [geom for geom in shown if geom.objtype == kind and geom.objid in ids]


def _target_depths(model: mujoco.MjModel, bodies: tuple[str, ...]) -> np.ndarray:
    """Of every camera, float64 [cameras]."""
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    ids = [model.body(body).id for body in bodies]
    middle = data.subtree_com[ids].mean(axis=0) if ids else model.stat.center
    forward = -data.cam_xmat.reshape(-1, 3, 3)[:, :, 2]
    return np.einsum("ij,ij->i", middle - data.cam_xpos, forward)
