"""Textures of our own beside those of a model, in the OpenGL context of its renderer."""

from __future__ import annotations

import mujoco
import numpy as np

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
