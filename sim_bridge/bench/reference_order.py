"""SAM-G in its authors' order of work: what the masker's speed and masks are measured against.

One frame at a time, in fp32: one pass of DINOv2 at 448 px, one of SAM's image encoder, then for
one target after the other three decodes, after each of which logits, masks and scores come to the
host, where numpy picks the next prompts. The reference is a single view, as in the paper. Source:
SAM-G (arXiv 2312.17116) section 4, after PerSAM-F (arXiv 2305.03048).

Nothing of the masker computes a frame here, so that a better masker leaves this as it is; only
the training of the scale weights is shared. Kinder than the authors' code, which knows one target
only: several targets share the two encoders' passes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from samg_ros.machine import single_thread
from samg_ros.masking.choice import learn_scale_weights
from samg_ros.masking.reference import Reference, Target, View
from samg_ros.models.base import Embedding, FeatureExtractor, Prompts, Segmenter
from samg_ros.models.loading import scaled_size

# The paper's sizes: EfficientViT-SAM at 512 px, DINOv2 at 448 px, both maps as 64 x 64 cells.
INPUT_SIZE = 512
FEATURE_SIZE = 448
GRID = 64
SCALE_STEPS = 1000
REFINEMENTS = 2
# The box of an empty mask: nearly the whole frame.
WHOLE_FRAME = np.array([0.01, 0.01, 0.99, 0.99])
# A box's corners are middles of pixels, up to this.
ROUNDING = 1e-6


@dataclass(frozen=True)
class TargetAnswer:
    """One target in one frame. ``mask``: bool [H, W]. ``score``: predicted IoU. ``points``: float
    [N, 2], (x, y) relative to the frame, in the order of prompting; ``labels``: int [N]."""

    mask: np.ndarray
    score: float
    points: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class FrameAnswer:
    """``rgb``: uint8 [H, W, 3], zero off the targets. ``mask``: bool [H, W], all targets."""

    rgb: np.ndarray
    mask: np.ndarray
    targets: tuple[TargetAnswer, ...]


@dataclass(frozen=True)
class _Known:
    """A target. ``vectors``: for the whole, then for each part, one vector [C] a feature map.
    ``weights``: float [3], how much each of SAM's mask scales counts in the first decode."""

    vectors: list[list[Tensor]]
    weights: np.ndarray


@dataclass(frozen=True)
class _Encoded:
    """A frame after both encoders. ``maps``: [1, C, h, w] each; in ``cells`` of length 1."""

    height: int
    width: int
    embedding: Embedding
    maps: list[Tensor]
    cells: list[Tensor]


@dataclass(frozen=True)
class _Decoded:
    """On the host. ``logits``: [3, M, M]. ``masks``: bool [3, H, W]. ``scores``: [3]."""

    logits: np.ndarray
    masks: np.ndarray
    scores: np.ndarray


class ReferenceOrder:
    """Finds a reference's targets in single frames.

    :param segmenter: in fp32. :param features: in fp32; None uses the segmenter's own alone.
    :param reference: of several views each target's first one counts.
    :param scale_steps: steps of learning the scale weights; 0 keeps the three scales equal.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        features: FeatureExtractor | None,
        reference: Reference,
        scale_steps: int = SCALE_STEPS,
    ) -> None:
        self.target_names = reference.names
        self._segmenter = segmenter
        self._features = features
        self._device = segmenter.device
        self._targets = [self._learn(*_first(reference, n), scale_steps) for n in reference.names]

    @torch.inference_mode()
    def __call__(self, rgb: np.ndarray) -> FrameAnswer:
        """:param rgb: uint8 [H, W, 3]."""
        encoded = self._encode(rgb)
        found = tuple(self._find(encoded, target) for target in self._targets)
        mask = np.any([target.mask for target in found], axis=0)
        return FrameAnswer(rgb * mask[..., None], mask, found)

    @torch.inference_mode()
    def _learn(self, view: View, target: Target, scale_steps: int) -> _Known:
        """What the reference says of one target."""
        encoded = self._encode(view.image)
        vectors = _vectors(encoded, target)
        points, labels, _ = self._first_points(encoded, vectors)
        logits = torch.from_numpy(self._decode(encoded, points, labels).logits)[None]
        size = scaled_size(encoded.height, encoded.width, self._segmenter.mask_size)
        logits = self._segmenter.to_image(logits.to(self._device), *size)
        full = torch.from_numpy(target.mask).float().to(self._device)
        small = F.adaptive_avg_pool2d(full[None, None], size)
        mask = (small >= small.amax().clamp(max=0.5)).float()
        shown = torch.ones(1, 1, dtype=torch.bool, device=self._device)
        with single_thread():
            weights = learn_scale_weights(logits[None], mask, shown, scale_steps)
        return _Known(vectors, weights[0].cpu().numpy())

    def _encode(self, rgb: np.ndarray) -> _Encoded:
        image = torch.from_numpy(rgb).to(self._device).permute(2, 0, 1)[None].float() / 255
        embedding = self._segmenter.encode(image)
        maps = [embedding.correspondence]
        if self._features is not None:
            maps.append(self._features(image))
        cells = [F.normalize(feature_map, dim=1) for feature_map in maps]
        height, width = rgb.shape[:2]
        return _Encoded(height, width, embedding, maps, cells)

    def _find(self, encoded: _Encoded, target: _Known) -> TargetAnswer:
        """Three decodes, each prompted from what numpy made of the one before."""
        points, labels, alike = self._first_points(encoded, target.vectors)
        first = self._decode(encoded, points, labels)
        low_res = (first.logits * target.weights[:, None, None]).sum(0)
        score = float((first.scores * target.weights).sum())
        mask = self._enlarge(encoded, low_res)
        for _ in range(REFINEMENTS):
            box = _box(mask)
            points = np.concatenate([points, _lowest(alike, box)[None]])
            labels = np.append(labels, 0)
            decoded = self._decode(encoded, points, labels, box, low_res)
            best = int(decoded.scores.argmax())
            low_res, mask = decoded.logits[best], decoded.masks[best]
            score = float(decoded.scores[best])
        return TargetAnswer(mask, score, points, labels)

    def _first_points(self, encoded: _Encoded, vectors: list[list[Tensor]]):
        """Most and least alike pixel, then each part's. :return: points, labels, the map."""
        alike, *parts = [_alike(encoded, vector) for vector in vectors]
        points = [_highest(alike), _lowest(alike), *map(_highest, parts)]
        return np.stack(points), np.array([1, 0] + [1] * len(parts)), alike

    def _decode(self, encoded: _Encoded, points, labels, box=None, low_res=None) -> _Decoded:
        """From prompts on the host to masks on the host."""
        prompts = Prompts(
            points=self._send(points),
            labels=torch.from_numpy(labels).int().to(self._device)[None, None],
            boxes=None if box is None else self._send(box),
            masks=None if low_res is None else self._send(low_res),
        )
        logits, scores = self._segmenter.decode(encoded.embedding, prompts)
        masks = self._segmenter.to_image(logits[:, 0], encoded.height, encoded.width) > 0
        host = [tensor.cpu().numpy() for tensor in (logits[0, 0], masks[0], scores[0, 0])]
        return _Decoded(*host)

    def _enlarge(self, encoded: _Encoded, low_res: np.ndarray) -> np.ndarray:
        """Logits on the host, [M, M], to a mask on the host, bool [H, W]."""
        logits = self._segmenter.to_image(self._send(low_res), encoded.height, encoded.width)
        return (logits > 0)[0, 0].cpu().numpy()

    def _send(self, values: np.ndarray) -> Tensor:
        """To the device, for one target of one frame: float [1, 1, ...]."""
        return torch.from_numpy(values).float().to(self._device)[None, None]


def _first(reference: Reference, name: str) -> tuple[View, Target]:
    """The first view that shows a target."""
    shown = ((view, target) for view in reference.views for target in view.targets)
    return next((view, target) for view, target in shown if target.name == name)


def _vectors(encoded: _Encoded, target: Target) -> list[list[Tensor]]:
    """(mean + max) / 2 of the cells inside the mask, and the feature at each part point."""
    full = torch.from_numpy(target.mask).float().to(encoded.maps[0].device)
    covered = F.adaptive_avg_pool2d(full[None, None], GRID)[0, 0]
    inside = covered >= covered.amax().clamp(max=0.5)
    size = torch.tensor([encoded.width, encoded.height])
    at = (torch.from_numpy(target.points).float() + 0.5) / size * 2 - 1
    wholes, parts = [], []
    for feature_map in encoded.maps:
        fine = F.interpolate(feature_map, size=(GRID, GRID), mode="bilinear", align_corners=False)
        within = fine[0][:, inside]
        wholes.append(F.normalize((within.mean(1) + within.amax(1)) / 2, dim=0))
        points = at.to(fine.device)[None, None]
        sampled = F.grid_sample(fine, points, align_corners=False, padding_mode="border")
        parts.append(F.normalize(sampled[0, :, 0].t(), dim=1))
    return [wholes, *(list(part) for part in zip(*parts, strict=True))]


def _alike(encoded: _Encoded, vectors: list[Tensor]) -> np.ndarray:
    """Cosine similarity to one vector a map, up-sampled, averaged, on the host: [H, W]."""
    fine = []
    for cells, vector in zip(encoded.cells, vectors, strict=True):
        cosine = torch.einsum("bchw,c->bhw", cells, vector)[None]
        size = (encoded.height, encoded.width)
        fine.append(F.interpolate(cosine, size=size, mode="bilinear", align_corners=False))
    return torch.stack(fine).mean(0)[0, 0].cpu().numpy()


def _highest(values: np.ndarray) -> np.ndarray:
    """The middle of the highest pixel, relative (x, y)."""
    row, column = np.unravel_index(values.argmax(), values.shape)
    return np.array([(column + 0.5) / values.shape[1], (row + 0.5) / values.shape[0]])


def _lowest(values: np.ndarray, box: np.ndarray | None = None) -> np.ndarray:
    """The middle of the lowest pixel (of those whose middle is in the box), relative (x, y)."""
    if box is None:
        return _highest(-values)
    ys, xs = ((np.arange(side) + 0.5) / side for side in values.shape)
    rows = (ys >= box[1] - ROUNDING) & (ys <= box[3] + ROUNDING)
    columns = (xs >= box[0] - ROUNDING) & (xs <= box[2] + ROUNDING)
    return _highest(np.where(rows[:, None] & columns, -values, -np.inf))


def _box(mask: np.ndarray) -> np.ndarray:
    """(x0, y0, x1, y1) around the middles of a mask's pixels, relative to the frame."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return WHOLE_FRAME
    corners = np.array([columns[0], rows[0], columns[-1], rows[-1]]) + 0.5
    return corners / np.tile(mask.shape[::-1], 2)
