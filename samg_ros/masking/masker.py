"""SAM-G as one call: frames in, masked frames out, as one batch on one device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from samg_ros.errors import ConfigError
from samg_ros.masking.config import MaskerConfig
from samg_ros.masking.encoders import Encoders, Seen
from samg_ros.masking.finder import TargetFinder
from samg_ros.masking.reference import Reference, View
from samg_ros.masking.result import STATUS_NAMES, CameraFrame, FrameMask, MaskBatch
from samg_ros.masking.zoom import LARGEST, ZoomedFinder, window_side
from samg_ros.models.base import FeatureExtractor, Segmenter


class Finder(Protocol):
    """Finds one reference's targets in encoded frames."""

    target_names: tuple[str, ...]

    def __call__(self, images: Tensor, seen: Seen) -> MaskBatch:
        """:param images: the frames that were seen, uint8 [B, H, W, 3], on the device."""
        ...


def make_finder(encoders: Encoders, reference: Reference, config: MaskerConfig) -> Finder:
    """A finder for the part of the reference that the configuration uses."""
    used = _used(reference, config)
    if config.zoom and window_side(used) <= LARGEST:
        return ZoomedFinder(encoders, used, config)
    return TargetFinder(encoders, used, config)


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


class SamgMasker:
    """Finds a reference's targets in frames.

    :param features: the second feature map (DINOv2); None uses the segmenter's own alone.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        features: FeatureExtractor | None,
        reference: Reference,
        config: MaskerConfig,
    ) -> None:
        self.config = config
        self.device = segmenter.device
        self.target_names = reference.names
        self._look = Encoders(segmenter, features)
        self._find = make_finder(self._look, reference, config)

    def __call__(self, images: Tensor) -> MaskBatch:
        """Mask a batch of frames of one size.

        :param images: uint8 [B, H, W, 3] RGB, on any device.
        """
        images = images.to(self.device, non_blocking=True)
        return self._find(images, self._look(images))


class ManyMasker:
    """Masks frames of several cameras, each with its own reference.

    Frames of one size are one batch of the encoders. Of those, the frames of cameras that share a
    finder are one batch of it. What was found comes from the device in one copy.

    :param finders: by camera; one finder may serve several cameras.
    """

    def __init__(self, encoders: Encoders, finders: Mapping[str, Finder]) -> None:
        self._look = encoders
        self._finders = dict(finders)
        self.device = encoders.device
        distinct = dict.fromkeys(map(id, self._finders.values()))
        places = {finder: place for place, finder in enumerate(distinct)}
        # Frames in this order: those of one finder are neighbours, a slice of their batch.
        self._order = {camera: places[id(finder)] for camera, finder in self._finders.items()}

    @torch.inference_mode()
    def __call__(self, frames: Sequence[CameraFrame]) -> list[FrameMask]:
        """:param frames: of any sizes; none gives none.
        :return: their masks, in the same order.
        :raises ConfigError: they do not fit the device's memory at once."""
        places = sorted(range(len(frames)), key=lambda i: self._key(frames[i]))
        try:
            found = list(self._found([frames[i] for i in places]))
            masks = frame_masks(found)
        except torch.cuda.OutOfMemoryError as error:
            raise ConfigError(
                f"{len(frames)} frames at once do not fit the device's memory; lower max_batch"
            ) from error
        return [mask for _, mask in sorted(zip(places, masks, strict=True), key=lambda p: p[0])]

    def _key(self, frame: CameraFrame) -> tuple:
        camera, rgb = frame
        return (*rgb.shape, self._order[camera])

    def _found(self, frames: list[CameraFrame]) -> Iterator[tuple[MaskBatch, Sequence[str]]]:
        """What the finders find, batch by batch, with the names of their targets."""
        for _, same_size in groupby(frames, key=lambda frame: frame[1].shape):
            group = list(same_size)
            stack = torch.from_numpy(np.stack([rgb for _, rgb in group]))
            images = stack.to(self.device, non_blocking=True)
            seen = self._look(images)
            start = 0
            for _, same_finder in groupby(group, key=lambda frame: self._order[frame[0]]):
                cameras = [camera for camera, _ in same_finder]
                finder, part = self._finders[cameras[0]], slice(start, start + len(cameras))
                yield finder(images[part], part_of(seen, part)), finder.target_names
                start = part.stop


def part_of(seen: Seen, part: slice) -> Seen:
    """Some neighbours of a batch of encoded images."""
    embedding = replace(
        seen.embedding,
        features=seen.embedding.features[part],
        correspondence=seen.embedding.correspondence[part],
        high_res=tuple(level[part] for level in seen.embedding.high_res),
    )
    return Seen(embedding, tuple(feature_map[part] for feature_map in seen.maps))


def frame_masks(batches: Iterable[tuple[MaskBatch, Sequence[str]]]) -> list[FrameMask]:
    """Results frame by frame, brought to the CPU in one copy.

    :param batches: each with the names of its targets.
    """
    kept = list(batches)
    wanted = [_wanted(batch) for batch, _ in kept]
    arrays = iter(to_host([tensor for tensors in wanted for tensor in tensors]))
    masks = []
    for (_, names), tensors in zip(kept, wanted, strict=True):
        of_batch = [next(arrays) for _ in tensors]
        masks += [_frame_mask(names, *of_frame) for of_frame in zip(*of_batch, strict=True)]
    return masks


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


def _wanted(batch: MaskBatch) -> tuple[Tensor, ...]:
    """What :func:`_frame_mask` takes, for all frames of a batch."""
    return (
        batch.mask,
        batch.score,
        batch.frame_status,
        batch.status,
        batch.points.flatten(1, 2),
        batch.labels.flatten(1),
    )


def _frame_mask(
    names: Sequence[str],
    mask: np.ndarray,
    score: np.floating,
    frame_status: np.integer,
    status: np.ndarray,
    points: np.ndarray,
    labels: np.ndarray,
) -> FrameMask:
    return FrameMask(
        mask=mask,
        score=float(score),
        status=STATUS_NAMES[frame_status],
        targets={name: STATUS_NAMES[s] for name, s in zip(names, status, strict=True)},
        points=points,
        labels=labels,
    )
