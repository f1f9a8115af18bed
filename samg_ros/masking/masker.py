"""The masker: pictures in, the targets of a reference out, as one batch on one device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from samg_ros.errors import ConfigError
from samg_ros.images import check_rgb
from samg_ros.masking.config import ONLY, MaskerConfig
from samg_ros.masking.encoders import Encoded, Encoders, load_encoders
from samg_ros.masking.finder import TargetFinder
from samg_ros.masking.reference import Reference, View, find_reference
from samg_ros.masking.result import CameraFrame, MaskResult
from samg_ros.masking.zoom import LARGEST, ZoomedFinder, window_side
from samg_ros.parameters import parameters_of

# What says what to look for: a reference, its file, or the name of a task whose one ships.
ReferenceLike = Reference | str | Path


def load_masker(
    reference: ReferenceLike | Mapping[str, ReferenceLike], device: str = "auto", **options: Any
) -> Masker:
    """A masker, with its models loaded (their weights are fetched where needed).

    :param reference: a reference, its ``.npz``, or the name of a task whose reference ships; for
        several cameras a mapping of these, by the camera's name.
    :param device: torch's name of it; ``auto`` takes a GPU where there is one.
    :param options: of :class:`samg_ros.MaskerConfig`.
    :raises SamgError: no such reference, model, device, weights or option.
    """
    given = reference if isinstance(reference, Mapping) else {ONLY: reference}
    config = _config(device=str(device), **options)
    return build_masker(load_references(given), config)


def build_masker(reference: Reference | Mapping[str, Reference], config: MaskerConfig) -> Masker:
    """As :func:`load_masker`, of references that are read already.

    :raises SamgError: unknown model, missing device, weights or a bad option.
    """
    return Masker.build(load_encoders(config), reference, config)


def load_references(given: Mapping[str, ReferenceLike]) -> dict[str, Reference]:
    """By camera, what ``reference`` parameters mean; each file is read once.

    :raises InvalidReferenceError: one is not there or not valid. :raises ConfigError: not one.
    """
    loaded: dict[Path, Reference] = {}
    references = {}
    for camera, one in given.items():
        if not isinstance(one, ReferenceLike):
            raise ConfigError(
                f"the reference is a {type(one).__name__}; give a Reference, a .npz made by "
                "`samg reference`, or the name of a task whose one ships"
            )
        if isinstance(one, Reference):
            references[camera] = one
            continue
        path = find_reference(str(one)).resolve()
        loaded[path] = loaded.get(path) or Reference.load(path)
        references[camera] = loaded[path]
    return references


class Finder(Protocol):
    """Finds one reference's targets in encoded frames."""

    target_names: tuple[str, ...]

    def __call__(self, images: Tensor, encoded: Encoded) -> MaskResult:
        """:param images: the frames that were encoded, uint8 [B, H, W, 3], on the device."""
        ...


def make_finder(encoders: Encoders, reference: Reference, config: MaskerConfig) -> Finder:
    """A finder for the part of the reference that the configuration uses."""
    used = _used(reference, config)
    if config.zoom and window_side(used) <= LARGEST:
        return ZoomedFinder(encoders, used, config)
    return TargetFinder(encoders, used, config)


class Masker:
    """Finds the targets of references in pictures of one or several cameras.

    The image encoders are shared by all cameras, and a finder by those with the same reference.

    :param finders: by camera; a single camera's name may be empty.
    """

    def __init__(
        self, encoders: Encoders, finders: Mapping[str, Finder], config: MaskerConfig
    ) -> None:
        if not finders:
            raise ConfigError("the masker has no camera; give at least one reference")
        self.config = config
        self.device = encoders.device
        self._encode = encoders
        self._finders = dict(finders)
        distinct = dict.fromkeys(map(id, self._finders.values()))
        places = {finder: place for place, finder in enumerate(distinct)}
        # Frames in this order: those of one finder are neighbours, a slice of their batch.
        self._order = {camera: places[id(finder)] for camera, finder in self._finders.items()}

    @classmethod
    def build(
        cls,
        encoders: Encoders,
        references: Reference | Mapping[str, Reference],
        config: MaskerConfig,
    ) -> Masker:
        """Set the references.

        :param references: one, or by camera; cameras with the very same object share what is
            computed of it.
        """
        given = {ONLY: references} if isinstance(references, Reference) else references
        distinct = {id(reference): reference for reference in given.values()}
        finders = {key: make_finder(encoders, one, config) for key, one in distinct.items()}
        return cls(encoders, {camera: finders[id(one)] for camera, one in given.items()}, config)

    @property
    def cameras(self) -> tuple[str, ...]:
        """The cameras' names; a single one's may be empty."""
        return tuple(self._finders)

    @property
    def target_names(self) -> tuple[str, ...]:
        """What is looked for, by any camera."""
        names = (name for finder in self._finders.values() for name in finder.target_names)
        return tuple(dict.fromkeys(names))

    @torch.inference_mode()
    def __call__(self, rgb: np.ndarray | Tensor, camera: str | None = None) -> MaskResult:
        """Mask a picture, or a batch of one size.

        :param rgb: uint8 [H, W, 3] or [B, H, W, 3]; an array, or a tensor on any device.
        :param camera: whose picture it is; may be left out where there is only one camera.
        :return: arrays for an array; tensors on the masker's device for a tensor, with nothing
            copied to the host.
        :raises ImageError: another type or shape, or no pixels.
        :raises ConfigError: which camera is not clear, or the device's memory does not suffice.
        """
        if not isinstance(rgb, Tensor):
            rgb = np.asarray(rgb)
        check_rgb(rgb, batch=True)
        finder = self._finder(camera)
        # A copy, whose owner may then overwrite the picture: simulators often render into one.
        pictures = rgb if isinstance(rgb, Tensor) else np.array(rgb, order="C")
        batch = pictures if pictures.ndim == 4 else pictures[None]
        with _fitting(len(batch)):
            images = torch.as_tensor(batch).to(self.device, non_blocking=True)
            found = finder(images, self._encode(images))
            if isinstance(batch, np.ndarray):
                (found,) = on_host([(found, batch)])
        return found if pictures.ndim == 4 else found[0]

    @torch.inference_mode()
    def mask_frames(self, frames: Sequence[CameraFrame]) -> list[MaskResult]:
        """Mask single pictures of any cameras and sizes.

        Those of one size are one batch of the encoders. Of these, the frames of cameras that
        share a reference are one batch of its finder. What was found comes from the device in one
        copy.

        :param frames: cameras' names and uint8 [H, W, 3]; none gives none.
        :return: a result each, in the same order.
        :raises ImageError: another type or shape, or no pixels.
        :raises ConfigError: an unknown camera, or the device's memory does not suffice.
        """
        for camera, rgb in frames:
            self._finder(camera)
            check_rgb(rgb, f"the picture of camera {camera!r}" if camera else "the picture")
        places = sorted(range(len(frames)), key=lambda i: self._key(frames[i]))
        with _fitting(len(frames)):
            batches = on_host(list(self._found([frames[i] for i in places])))
        found = (one for batch in batches for one in batch)
        return [one for _, one in sorted(zip(places, found, strict=True), key=lambda p: p[0])]

    def _finder(self, camera: str | None) -> Finder:
        if camera is None and len(self._finders) == 1:
            return next(iter(self._finders.values()))
        if camera not in self._finders:
            which = "no camera is named" if camera is None else f"there is no camera {camera!r}"
            known = ", ".join(self._finders) or "the only one has no name: leave 'camera' out"
            raise ConfigError(f"{which}; whose picture is it? One of: {known}")
        return self._finders[camera]

    def _key(self, frame: CameraFrame) -> tuple:
        camera, rgb = frame
        return (*rgb.shape, self._order[camera])

    def _found(self, frames: list[CameraFrame]) -> Iterator[tuple[MaskResult, np.ndarray]]:
        """What the finders find, batch by batch, and in which pictures."""
        for _, same_size in groupby(frames, key=lambda frame: frame[1].shape):
            group = list(same_size)
            stack = np.stack([rgb for _, rgb in group])
            images = torch.from_numpy(stack).to(self.device, non_blocking=True)
            encoded = self._encode(images)
            start = 0
            for _, same_finder in groupby(group, key=lambda frame: self._order[frame[0]]):
                cameras = [camera for camera, _ in same_finder]
                finder, part = self._finders[cameras[0]], slice(start, start + len(cameras))
                yield finder(images[part], encoded[part]), stack[part]
                start = part.stop


def on_host(found: Sequence[tuple[MaskResult, np.ndarray]]) -> list[MaskResult]:
    """Results in numpy's arrays, in one copy; targets' own masks follow when they are read.

    :param found: each with its pictures, which are on the host already.
    """
    wanted = [
        (one.mask, one.scores, one.likeness, one.statuses, one.points, one.labels)
        for one, _ in found
    ]
    arrays = iter(to_host([tensor for tensors in wanted for tensor in tensors]))
    results = []
    for (one, images), tensors in zip(found, wanted, strict=True):
        mask, *others = (next(arrays) for _ in tensors)
        results.append(MaskResult(one.names, images, mask, one.each, *others))
    return results


def to_host(tensors: Sequence[Tensor]) -> list[np.ndarray]:
    """Tensors of any types and shapes as arrays, in one copy: each copy waits for the device."""
    if not tensors:
        return []
    pieces = [tensor.contiguous().flatten().view(torch.uint8) for tensor in tensors]
    data = torch.cat(pieces).cpu().numpy()
    ends = np.cumsum([len(piece) for piece in pieces])
    return [
        _as(tensor, data[end - len(piece) : end])
        for tensor, piece, end in zip(tensors, pieces, ends, strict=True)
    ]


def _as(tensor: Tensor, data: np.ndarray) -> np.ndarray:
    """A tensor's bytes, uint8 [n], as an array of its type and shape."""
    dtype = torch.empty(0, dtype=tensor.dtype).numpy().dtype
    # Behind bytes, wider numbers need not lie where the processor likes them.
    return np.require(data.view(dtype).reshape(tensor.shape), requirements=["ALIGNED"])


@contextmanager
def _fitting(count: int) -> Iterator[None]:
    """:raises ConfigError: so many pictures do not fit the device's memory."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise ConfigError(
            f"{count} frames at once do not fit the device's memory; mask fewer at a time: lower "
            "max_batch (of the node) or --batch (of samg mask)"
        ) from error


def _used(reference: Reference, config: MaskerConfig) -> Reference:
    """Of every target the first views that show it, with or without part points."""
    seen: Counter[str] = Counter()
    views = []
    for view in reference.views:
        seen.update(target.name for target in view.targets)
        kept = [t for t in view.targets if not config.views or seen[t.name] <= config.views]
        if not config.parts:
            kept = [replace(t, points=np.zeros((0, 2), np.float32)) for t in kept]
        if kept:
            views.append(View(view.image, tuple(kept)))
    return Reference(tuple(views), reference.about)


def _config(**options: Any) -> MaskerConfig:
    """:raises ConfigError: an unknown option, or a value that it does not take."""
    known = [declared.name for declared in parameters_of(MaskerConfig)]
    unknown = [name for name in options if name not in known]
    if unknown:
        raise ConfigError(f"no option {unknown[0]!r} of the masker; choose of: {', '.join(known)}")
    try:
        return MaskerConfig(**options)
    except TypeError as error:
        raise ConfigError(
            f"an option of the masker has a value of another type: {error}"
        ) from error
