"""What a picture is drawn from, between its making and its drawing: where its looks are changed.

A :class:`Stage` has the scene's geoms, lights and camera; its :class:`Paints` are textures.
"""

from __future__ import annotations

from typing import Protocol

import mujoco
import numpy as np

from sim_bridge.render.parts import Part

PLANE, BOX, SKY = (
    mujoco.mjtTexture.mjTEXTURE_2D,
    mujoco.mjtTexture.mjTEXTURE_CUBE,
    mujoco.mjtTexture.mjTEXTURE_SKYBOX,
)
"""How a texture is laid on: flat over a plane, on the six sides of a solid, or around it all."""

# Slot -> kind, and the largest square (of a sky: side) that fits.
_SLOTS = {
    "ground": (PLANE, 256),
    "squares": (PLANE, 512),
    "table": (BOX, 256),
    "object": (BOX, 256),
    "sky": (SKY, 400),
}
_OFFSCREEN = mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value


class Paints:
    """Texture slots that a scene's geoms can use by :attr:`mujoco.MjvGeom.texid`.

    A compiled model cannot grow textures. So a second model that has nothing else is given a
    context in the same OpenGL context, and its textures are entered in the renderer's table
    behind the model's own. Both are made when the first picture is put in.

    :param model: the renderer's ``mujoco.MjModel``. :param context: its ``mujoco.MjrContext``.
    """

    SKY_SIZE = _SLOTS["sky"][1]
    """Rows and columns of a side of a sky; a camera of 45 degrees sees half of one."""

    def __init__(self, model: mujoco.MjModel, context: mujoco.MjrContext) -> None:
        self._context = context
        self._own_model: mujoco.MjModel | None = None
        self._own_context: mujoco.MjrContext | None = None
        self._images: dict[str, np.ndarray] = {}
        skies = np.flatnonzero(model.tex_type == SKY)
        self._sky = int(skies[0]) if len(skies) else None
        self._sky_texture = int(context.texture[skies[0]]) if len(skies) else 0

    def lay(self, geom: mujoco.MjvGeom, slot: str, image: np.ndarray) -> None:
        """Cover a geom; its colour is multiplied with the image's.

        :param image: as for :meth:`put`.
        """
        # Without a material a geom's texture is not drawn; which one it is makes no difference.
        geom.matid, geom.texid = 0, self.put(slot, image)

    def put(self, slot: str, image: np.ndarray) -> int:
        """Fill ``slot``, unless it is this very array that it holds.

        :param image: uint8 [S, S, 3], never written to again; for ``sky`` six of them below each
            other, [6 S, S, 3].
        :return: texture id.
        """
        model, context = self._own()
        index = list(_SLOTS).index(slot)
        if self._images.get(slot) is not image:
            start = model.tex_adr[index]
            model.tex_height[index], model.tex_width[index] = image.shape[:2]
            model.tex_data[start : start + image.size] = image.ravel()
            mujoco.mjr_uploadTexture(model, context, index)
            self._images[slot] = image
        return self._context.ntexture + index

    def show_sky(self, image: np.ndarray) -> None:
        """Put a sky in the place of the model's, until :meth:`restore_sky`.

        :param image: uint8 [6 S, S, 3]. A model without a sky stays without.
        """
        if self._sky is not None:
            self._context.texture[self._sky] = self._context.texture[self.put("sky", image)]

    def restore_sky(self) -> None:
        """Show the model's own sky again."""
        if self._sky is not None:
            self._context.texture[self._sky] = self._sky_texture

    def free(self) -> None:
        """Delete the textures; the renderer's OpenGL context must be current."""
        self.restore_sky()
        if self._own_context is not None:
            self._own_context.free()
            self._own_context = None

    def _own(self) -> tuple[mujoco.MjModel, mujoco.MjrContext]:
        if self._own_model is None or self._own_context is None:
            self._own_model = _texture_model()
            self._own_context = mujoco.MjrContext(
                self._own_model, mujoco.mjtFontScale.mjFONTSCALE_50.value
            )
            # Making a context binds its own framebuffer.
            mujoco.mjr_setBuffer(_OFFSCREEN, self._context)
            end = self._context.ntexture + len(_SLOTS)
            self._context.texture[end - len(_SLOTS) : end] = self._own_context.texture[
                : len(_SLOTS)
            ]
            self._context.textureType[end - len(_SLOTS) : end] = self._own_model.tex_type
        return self._own_model, self._own_context


def _texture_model() -> mujoco.MjModel:
    spec = mujoco.MjSpec()
    spec.visual.global_.offheight = spec.visual.global_.offwidth = 1
    spec.visual.quality.shadowsize = spec.visual.quality.offsamples = 0
    for name, (kind, size) in _SLOTS.items():
        spec.add_texture(
            name=name,
            type=kind,
            builtin=mujoco.mjtBuiltin.mjBUILTIN_FLAT,
            height=size,
            width=size,
        )
    return spec.compile()


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
