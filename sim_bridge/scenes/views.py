"""The pictures a policy is shown by masks that need no model: perfect, degraded, and two controls.

They say what a policy is worth when masking is perfect or bad, when nothing is masked, and when
there is nothing to see. Degraded masks have a segmenter's faults, so that a student learns to live
with them. Modelled are those of SAM masks at 256 px (IoU about 0.9): ragged edges a few pixels
out, a mask of the frame before, targets lost for a while or for good, pieces missing, pieces of
the background let in. Each fault has a level drawn per episode and jitter drawn per frame; pieces
and losses last several frames, because a segmenter fails on the same spot again.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import cv2
import numpy as np

from samg_ros.errors import ConfigError, ImageError
from samg_ros.images import check_rgb, masked
from samg_ros.parameters import documented, parameter, validate
from sim_bridge.scenes import MASKS
from sim_bridge.task import CAMERA_SIZE


@documented
@dataclass(frozen=True)
class MaskNoiseConfig:
    """How bad masks get. Lengths in pixels of a picture of ``CAMERA_SIZE``, others in proportion.

    Levels are drawn uniformly from 0 to the value given, once per episode, so that a student
    meets clean episodes as well as bad ones.
    """

    edge_px: float = parameter(
        4.0,
        "largest displacement of a target's whole edge, outwards or inwards",
        unit="px",
        low=0,
        high=32,
    )
    ragged_px: float = parameter(
        4.0,
        "standard deviation of the edge's slowly varying displacement",
        unit="px",
        low=0,
        high=32,
    )
    shift_px: float = parameter(
        2.0,
        "standard deviation of a whole mask's displacement in one frame",
        unit="px",
        low=0,
        high=32,
    )
    lost_episode: float = parameter(
        0.03, "probability that one target is missing throughout an episode", low=0, high=1
    )
    lost_start: float = parameter(
        0.04, "probability per frame that one target goes missing for a spell", low=0, high=1
    )
    blank: float = parameter(0.01, "probability per frame that nothing is found", low=0, high=1)
    stale: float = parameter(
        0.1, "probability per frame that the mask is the previous frame's", low=0, high=1
    )
    patches: float = parameter(
        0.5, "new false pieces per frame, and as many new missing ones", low=0, high=20
    )
    patch_px: float = parameter(
        28.0, "largest radius of a piece; most are far smaller", unit="px", low=0, high=128
    )
    spell_frames: float = parameter(
        6.0, "mean duration of a piece or a loss, in frames", unit="frames", low=1, high=1000
    )

    def __post_init__(self) -> None:
        validate(self)

    def scaled(self, share: float) -> MaskNoiseConfig:
        """Faults that are as much smaller and rarer; they last as long, and a false piece lies as
        far from its target."""
        faults = {f.name: share * getattr(self, f.name) for f in fields(self)}
        return MaskNoiseConfig(**{**faults, "spell_frames": self.spell_frames})


@dataclass
class _Patch:
    """A blob-shaped piece, relative to the image so that it can sit still for some frames."""

    centre: tuple[int, int]
    axes: tuple[int, int]
    angle_deg: float
    frames_left: int

    def draw(self, canvas: np.ndarray) -> None:
        cv2.ellipse(canvas, self.centre, self.axes, self.angle_deg, 0, 360, 1, -1)


class MaskNoise:
    """Joins the targets of a segmentation into one mask, with faults.

    :param rng: source of every draw; the same state gives the same faults.
    """

    def __init__(self, rng: np.random.Generator, config: MaskNoiseConfig | None = None) -> None:
        self._rng = rng
        self._config = config or MaskNoiseConfig()
        self.reset()

    def reset(self) -> None:
        """Start an episode: forget earlier frames and draw new levels."""
        c, rng = self._config, self._rng
        self._edge_px = rng.uniform(-c.edge_px, c.edge_px)
        self._ragged_px = rng.uniform(0, c.ragged_px)
        self._shift_px = rng.uniform(0, c.shift_px)
        self._stale = rng.uniform(0, c.stale)
        self._patch_rate = rng.uniform(0, c.patches)
        self._lost_start = rng.uniform(0, c.lost_start)
        self._lost_always = rng.random() < c.lost_episode
        self._lost: dict[int, int] = {}
        self._extra: list[_Patch] = []
        self._missing: list[_Patch] = []
        self._previous: np.ndarray | None = None

    def __call__(self, targets: np.ndarray) -> np.ndarray:
        """Mask of one frame.

        :param targets: uint8 [H, W]; 0 is background, every other value one target.
        :return: bool [H, W], what a segmenter might have found.
        """
        if self._previous is not None and self._rng.random() < self._stale:
            return self._previous
        self._px = targets.shape[0] / CAMERA_SIZE
        blank = self._rng.random() < self._config.blank
        mask = self._shifted(self._found(targets))
        if blank or not mask.any():
            # A masker goes on with its last mask where nothing is found (on_lost: hold).
            return np.zeros(targets.shape, bool) if self._previous is None else self._previous
        self._spoil(mask, targets)
        self._previous = mask.astype(bool)
        return self._previous

    def _found(self, targets: np.ndarray) -> np.ndarray:
        """Union of the targets that are not lost, edges displaced: uint8 [H, W] of 0 and 1."""
        mask = np.zeros(targets.shape, np.uint8)
        present = [int(i) for i in np.unique(targets) if i]
        self._update_losses(present)
        for target in present:
            if target not in self._lost:
                mask |= self._displaced(targets == target)
        return mask

    def _update_losses(self, present: list[int]) -> None:
        self._lost = {target: left - 1 for target, left in self._lost.items() if left > 1}
        if not present:
            return
        if self._lost_always and len(present) > 1:
            self._lost[int(self._rng.choice(present))] = np.iinfo(np.int64).max
            self._lost_always = False
        if self._rng.random() < self._lost_start:
            self._lost.setdefault(int(self._rng.choice(present)), self._spell())

    def _displaced(self, inside: np.ndarray) -> np.ndarray:
        """One target with its edge moved by a smooth random field: uint8 [H, W] of 0 and 1."""
        rows, columns = _box(inside, margin=int((3 * self._config.edge_px + 8) * self._px))
        crop = inside[rows, columns].astype(np.uint8)
        inside_px = cv2.distanceTransform(crop, cv2.DIST_L2, 3)
        outside_px = cv2.distanceTransform(1 - crop, cv2.DIST_L2, 3)
        cell_px = max(1, round(12 * self._px))
        coarse = self._rng.normal(0, self._ragged_px, [max(2, n // cell_px) for n in crop.shape])
        field_px = cv2.resize(
            coarse.astype(np.float32), crop.shape[::-1], interpolation=cv2.INTER_CUBIC
        )
        offset_px = self._edge_px + self._rng.normal(0, 0.5)
        result = np.zeros(inside.shape, np.uint8)
        result[rows, columns] = inside_px - outside_px + self._px * (field_px + offset_px) > 0
        return result

    def _shifted(self, mask: np.ndarray) -> np.ndarray:
        x_px, y_px = self._px * self._rng.normal(0, self._shift_px, 2)
        matrix = np.array([[1, 0, round(x_px)], [0, 1, round(y_px)]], np.float32)
        size = (mask.shape[1], mask.shape[0])
        return cv2.warpAffine(mask, matrix, size, flags=cv2.INTER_NEAREST)

    def _spoil(self, mask: np.ndarray, targets: np.ndarray) -> None:
        """Cut missing pieces out of ``mask`` and add false ones, in place."""
        self._missing = self._renewed(self._missing, targets, spread_px=0.0)
        self._extra = self._renewed(self._extra, targets, spread_px=30.0)
        cut = np.zeros_like(mask)
        for patch in self._missing:
            patch.draw(cut)
        mask[cut > 0] = 0
        for patch in self._extra:
            patch.draw(mask)

    def _renewed(
        self, patches: list[_Patch], targets: np.ndarray, spread_px: float
    ) -> list[_Patch]:
        """The ``patches`` that last, and new ones ``spread_px`` around a pixel of a target."""
        for patch in patches:
            patch.frames_left -= 1
        kept = [patch for patch in patches if patch.frames_left > 0]
        pixels = np.flatnonzero(targets)
        if not pixels.size:
            return kept
        for _ in range(self._rng.poisson(self._patch_rate)):
            y, x = divmod(int(self._rng.choice(pixels)), targets.shape[1])
            kept.append(self._patch(x, y, spread_px))
        return kept

    def _patch(self, x_px: int, y_px: int, spread_px: float) -> _Patch:
        rng = self._rng
        # The cube makes small pieces common and large ones rare.
        radius_px = self._px * (2 + self._config.patch_px * rng.random() ** 3)
        dx, dy = self._px * rng.normal(0, spread_px, 2) if spread_px else (0.0, 0.0)
        return _Patch(
            centre=(round(x_px + dx), round(y_px + dy)),
            axes=(round(radius_px * rng.uniform(0.5, 2.0)), round(radius_px)),
            angle_deg=rng.uniform(0, 180),
            frames_left=self._spell(),
        )

    def _spell(self) -> int:
        return int(self._rng.geometric(1 / self._config.spell_frames))


def _box(inside: np.ndarray, margin: int) -> tuple[slice, slice]:
    """Rows and columns of ``inside`` with a margin, so that the work is done where it matters."""
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    return (
        slice(max(0, rows[0] - margin), rows[-1] + margin + 1),
        slice(max(0, columns[0] - margin), columns[-1] + margin + 1),
    )


class EpisodeView:
    """What a policy is shown of one episode, by masks that the simulation gives by itself.

    :param masks: one of :data:`sim_bridge.scenes.MASKS`. ``oracle``: every target, exactly;
        ``oracle+noise``: the same with the faults of a segmenter; ``none``: the camera's picture;
        ``black``: nothing, which tells how far joint positions alone go.
    :param seed: of the episode; the faults follow from it.
    :raises ConfigError: unknown masks.
    """

    def __init__(self, masks: str, seed: int) -> None:
        if masks not in MASKS:
            raise ConfigError(f"unknown masks {masks!r}; choose one of: {', '.join(MASKS)}")
        self._masks = masks
        noisy = masks == "oracle+noise"
        self._noise = MaskNoise(np.random.default_rng(seed)) if noisy else None

    def __call__(self, rgb: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """The picture of the next frame.

        :param rgb: uint8 [H, W, 3], what the camera sees.
        :param targets: uint8 [H, W], 0 where no target is; not looked at without masks.
        :return: uint8 [H, W, 3], black where the mask is not.
        """
        if self._masks == "none":
            return rgb
        if self._masks == "black":
            return np.zeros_like(rgb)
        return masked(rgb, self._noise(targets) if self._noise else targets > 0)


def area_resize(image: np.ndarray, size: int) -> np.ndarray:
    """Shrink a square picture by averaging, which keeps thin parts that sampling would lose.

    :param image: uint8 [H, H, 3], H >= ``size``.
    :return: uint8 [``size``, ``size``, 3].
    :raises ImageError: another dtype, not three channels, not square, or smaller than ``size``.
    """
    check_rgb(image, "the policy's image")
    height, width = image.shape[:2]
    if height != width or height < size:
        raise ImageError(
            f"the policy's image must be square and at least {size} pixels wide, "
            f"got {width}x{height}: set the camera's size, or the policy node's crop to center"
        )
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
