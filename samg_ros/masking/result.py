"""What masking gives, and what becomes of a frame in which everything is lost. Without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from samg_ros.images import masked
from samg_ros.masking.config import LostBehaviour

LOST, LOW_CONFIDENCE, FOUND = 0, 1, 2
STATUS_NAMES = ("lost", "low_confidence", "found")

# numpy's or torch's.
Array = Any
# A camera's name, and its frame: uint8 [H, W, 3] RGB.
CameraFrame = tuple[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class MaskResult:
    """What was found in one picture, or in each of B pictures: [...] is nothing, or B.

    Arrays are all numpy's, or all torch's and on the masker's device.

    ``names``: of the T targets. ``images``: the pictures, uint8 [..., H, W, 3]. ``mask``: bool
    [..., H, W], of all targets. ``scores``: float [..., T], predicted IoU. ``likeness``: float
    [..., T], how alike what a mask holds is to the reference (mean cosine). ``statuses``: int8
    [..., T], indices of ``STATUS_NAMES``. ``points``: float [..., T, N, 2], the prompts, relative
    (x, y); ``labels``: int [..., T, N], 1 on the target and 0 off it. ``each``: bool
    [..., T, H, W]; read :attr:`target_masks` instead, as these may not be on the host yet.
    """

    names: tuple[str, ...]
    images: Array
    mask: Array
    each: Array
    scores: Array
    likeness: Array
    statuses: Array
    points: Array
    labels: Array

    @classmethod
    def given(
        cls,
        image: np.ndarray,
        mask: np.ndarray,
        statuses: Mapping[str, str] | None = None,
        score: float = 1.0,
    ) -> MaskResult:
        """One picture's mask that comes from elsewhere: known to be right, if nothing is said.

        :param mask: bool [H, W]. :param statuses: by target.
        """
        told = statuses or {}
        count = len(told)
        scores = np.full(count, score, np.float32)
        codes = np.array([STATUS_NAMES.index(status) for status in told.values()], np.int8)
        points, labels = np.zeros((count, 0, 2), np.float32), np.zeros((count, 0), np.int32)
        every = np.broadcast_to(mask, (count, *mask.shape))
        return cls(tuple(told), image, mask, every, scores, scores, codes, points, labels)

    @cached_property
    def rgb(self) -> Array:
        """The pictures with all but the targets black, uint8 [..., H, W, 3].

        Computed when first read. Of tensors, so are the pictures: do not overwrite them before.
        """
        return masked(self.images, self.mask)

    @cached_property
    def target_masks(self) -> Array:
        """Bool [..., T, H, W], each target's own; copied from the device when first read."""
        if isinstance(self.mask, np.ndarray) and not isinstance(self.each, np.ndarray):
            return self.each.cpu().numpy()
        return self.each

    @cached_property
    def targets(self) -> dict[str, TargetMask]:
        """What was found of each target, by its name."""
        return {name: TargetMask(self, t) for t, name in enumerate(self.names)}

    @property
    def status(self) -> Any:
        """``found`` where every target is, ``lost`` where every one is, else ``low_confidence``.

        One picture's is a string, a batch's an array of strings [B]; read on the host.
        """
        every_found = (self.statuses == FOUND).all(-1)
        return _named(LOW_CONFIDENCE + every_found * 1 - self._all_lost * 1)

    @property
    def lost(self) -> Any:
        """Bool [...]: every target is lost. Never so where nothing was sought."""
        return _plain(self._all_lost)

    @property
    def score(self) -> Any:
        """Float [...]: predicted IoU of the worst target that is not lost; 0 if all are lost, and
        1 where nothing was sought."""
        if not self.names:
            return 1.0
        if isinstance(self.scores, np.ndarray):
            worst = np.where(self.statuses == LOST, np.inf, self.scores).min(-1)
            return _plain(np.where(self._all_lost, 0.0, worst))
        worst = self.scores.masked_fill(self.statuses == LOST, float("inf")).amin(-1)
        return worst.masked_fill(self._all_lost, 0.0)

    def __len__(self) -> int:
        return len(self._batch.mask)

    def __getitem__(self, index: int | slice) -> MaskResult:
        """One picture of a batch, or a part of it."""
        arrays = (getattr(self._batch, field.name)[index] for field in fields(self)[1:])
        return MaskResult(self.names, *arrays)

    def __iter__(self) -> Iterator[MaskResult]:
        return (self[index] for index in range(len(self)))

    @property
    def _batch(self) -> MaskResult:
        if self.mask.ndim == 2:
            raise TypeError("the result is of one picture, not of a batch")
        return self

    @property
    def _all_lost(self) -> Array:
        return (self.statuses == LOST).all(-1) & bool(self.names)


@dataclass(frozen=True, eq=False)
class TargetMask:
    """One target of a :class:`MaskResult`."""

    _result: MaskResult
    _index: int

    @property
    def mask(self) -> Array:
        """Bool [..., H, W]; empty where the target is lost."""
        return self._result.target_masks[..., self._index, :, :]

    @property
    def status(self) -> Any:
        """``found``, ``low_confidence`` or ``lost``; of a batch an array of strings [B]."""
        return _named(self._result.statuses[..., self._index])

    @property
    def score(self) -> Any:
        """Predicted IoU, float [...]."""
        return _plain(self._result.scores[..., self._index])

    @property
    def likeness(self) -> Any:
        """Mean cosine of what the mask holds to the reference, float [...]."""
        return _plain(self._result.likeness[..., self._index])


def _named(codes: Array) -> Any:
    """Names of statuses; strings are on the host, so a tensor's numbers are brought there."""
    on_host = np.asarray(codes) if isinstance(codes, np.ndarray | np.generic) else codes.cpu()
    return _plain(np.array(STATUS_NAMES)[np.asarray(on_host)])


def _plain(value: Array) -> Any:
    """A number or string of Python where numpy has a single one."""
    alone = isinstance(value, np.generic | np.ndarray) and value.ndim == 0
    return value.item() if alone else value


class MaskSource(Protocol):
    """Anything that gives masks for frames of one or several cameras."""

    def __call__(self, frames: Sequence[CameraFrame]) -> list[MaskResult]:
        """:return: a result for each frame, in their order, in numpy's arrays."""
        ...


class UniformFrames:
    """No perception: everything is let through, or nothing (a control for evaluations)."""

    def __init__(self, visible: bool) -> None:
        self._visible = visible

    def __call__(self, frames: Sequence[CameraFrame]) -> list[MaskResult]:
        return [MaskResult.given(r, np.full(r.shape[:2], self._visible)) for _, r in frames]


class LostFrames:
    """Applies the chosen behaviour and remembers the last good mask.

    ``hold`` keeps the last found mask on the new frame (blank until there is one), ``passthrough``
    lets the whole frame through, ``blank`` gives a black one.
    """

    def __init__(self, behaviour: LostBehaviour) -> None:
        self._behaviour = behaviour
        self._last: np.ndarray | None = None

    def __call__(self, mask: np.ndarray, lost: bool) -> np.ndarray:
        """:param mask: bool [H, W]. :return: the mask to apply, bool [H, W]."""
        if not lost:
            self._last = mask
            return mask
        if self._behaviour == "passthrough":
            return np.ones_like(mask)
        held = self._last
        if self._behaviour == "hold" and held is not None and held.shape == mask.shape:
            return held
        return np.zeros_like(mask)
