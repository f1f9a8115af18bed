"""SAM-G for one frame and one target at a time, written to be read: what the masker must equal.

Everything is done in the order in which the paper tells it, on the frame's own pixels, with loops
and with transformers' models as they come. Nothing of ``samg_ros.masking`` computes here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from transformers import Dinov2Model, Sam2Model

from samg_ros.masking.config import MaskerConfig
from samg_ros.masking.reference import Reference, Target, View

MEAN = np.array([0.485, 0.456, 0.406])
STD = np.array([0.229, 0.224, 0.225])


@dataclass
class PlainMask:
    """``points``: (column, row) of pixels, in the order of prompting. ``labels``: 1 on, 0 off."""

    mask: np.ndarray
    score: float
    points: list[tuple[int, int]]
    labels: list[int]
    view: int


@dataclass
class Seen:
    """An image after both encoders. ``maps``: float [C, h, w] each, to compare cells in."""

    height: int
    width: int
    embeddings: list[torch.Tensor]
    maps: list[np.ndarray]


@dataclass
class TargetVectors:
    """``whole``: one vector a map. ``parts``: for each part, one vector a map."""

    whole: list[np.ndarray]
    parts: list[list[np.ndarray]] = field(default_factory=list)


class PlainSamg:
    """The method with a reference, target by target and frame by frame.

    :param dino: all its layers; None uses SAM 2's own features alone.
    :param dino_layer: the hidden state to take, 1-based.
    """

    def __init__(
        self,
        sam: Sam2Model,
        dino: Dinov2Model | None,
        dino_layer: int,
        reference: Reference,
        config: MaskerConfig,
    ) -> None:
        self.sam, self.sam_size = sam.eval(), config.input_size
        self.dino, self.dino_size, self.dino_layer = dino, config.feature_size, dino_layer
        self.grid, self.refine_steps = config.reference_grid, config.refine_steps
        self.views = reference.views
        self.part_count = max(len(t.points) for view in self.views for t in view.targets)
        self.vectors: list[dict[str, TargetVectors]] = []
        for view in self.views:
            maps = self.look(view.image).maps
            self.vectors.append({t.name: self._vectors(view, t, maps) for t in view.targets})

    def look(self, image: np.ndarray) -> Seen:
        """Encode one image, uint8 [H, W, 3]."""
        with torch.no_grad():
            levels = self.sam.get_image_embeddings(_pixels(image, self.sam_size))
            own = levels[-1][0] - self.sam.no_memory_embedding.reshape(-1, 1, 1)
            maps = [own.numpy()]
            if self.dino is not None:
                maps.append(self._dino_map(_pixels(image, self.dino_size)))
        return Seen(*image.shape[:2], levels, maps)

    def find(self, seen: Seen, name: str, scale_weights: np.ndarray) -> PlainMask:
        """Look for the target ``name`` in one frame.

        :param scale_weights: float [3], how much each of SAM's mask scales counts at first.
        """
        height, width = seen.height, seen.width
        view, vectors = self._best_view(seen, name)
        alike = _alike(seen, vectors.whole)
        points = [_highest(alike), _lowest(alike)]
        points += [_highest(_alike(seen, part)) for part in vectors.parts]
        labels = [1, 0] + [1] * len(vectors.parts)

        logits, scores = self._decode(seen, points, labels)
        low_res = sum(scale_weights[i] * logits[i] for i in range(3))
        score = float(sum(scale_weights[i] * scores[i] for i in range(3)))
        for _ in range(self.refine_steps):
            box = _box(_enlarge(low_res, height, width) > 0)
            points.append(_lowest(alike, box))
            labels.append(0)
            logits, scores = self._decode(seen, points, labels, box, low_res)
            best = int(np.argmax(scores))
            low_res, score = logits[best], float(scores[best])
        mask = _enlarge(low_res, height, width) > 0
        return PlainMask(mask, score, points, labels, view)

    def _dino_map(self, pixels: torch.Tensor) -> np.ndarray:
        assert self.dino is not None
        states = self.dino(pixels, output_hidden_states=True)
        last = self.dino_layer == self.dino.config.num_hidden_layers
        tokens = states.last_hidden_state if last else states.hidden_states[self.dino_layer]
        side = self.dino_size // 14
        # The first token stands for the whole image.
        return tokens[0, 1:].T.reshape(-1, side, side).numpy()

    def _best_view(self, seen: Seen, name: str) -> tuple[int, TargetVectors]:
        """The view whose parts (or, without parts, whose whole) are found most surely."""
        sureness = {}
        for number, known in enumerate(self.vectors):
            if name in known:
                looked_for = known[name].parts or [known[name].whole]
                height, width = seen.maps[0].shape[1:]
                found = [_alike(seen, vectors, height, width).max() for vectors in looked_for]
                sureness[number] = np.mean(found)
        best = max(sureness, key=lambda number: sureness[number])
        return best, self.vectors[best][name]

    def _vectors(self, view: View, target: Target, maps: list[np.ndarray]) -> TargetVectors:
        """What stands for a target in one view: (mean + max) / 2 inside, and each part point."""
        cells = _covered_cells(target.mask, self.grid)
        height, width = view.image.shape[:2]
        whole: list[np.ndarray] = []
        parts: list[list[np.ndarray]] = [[] for _ in range(self.part_count)]
        for feature_map in maps:
            fine = _enlarge_map(feature_map, self.grid, self.grid)
            inside = np.array([fine[:, row, column] for row, column in cells])
            whole.append(_unit((inside.mean(0) + inside.max(0)) / 2))
            for part, (x, y) in zip(parts, self._points(target), strict=True):
                column = (x + 0.5) / width * self.grid - 0.5
                row = (y + 0.5) / height * self.grid - 0.5
                part.append(_unit(_between_cells(fine, row, column)))
        return TargetVectors(whole, parts)

    def _points(self, target: Target) -> list[tuple[float, float]]:
        """As many part points for each target: the last repeats, or one in the mask's middle."""
        points = [(float(x), float(y)) for x, y in target.points]
        if not points:
            rows, columns = np.nonzero(target.mask)
            points = [(float(columns[len(columns) // 2]), float(rows[len(rows) // 2]))]
        return (points + points[-1:] * self.part_count)[: self.part_count]

    def _decode(self, seen: Seen, points, labels, box=None, low_res=None):
        """One call of SAM 2: low-resolution logits [3, M, M] and predicted IoU [3]."""
        relative = np.array([((x + 0.5) / seen.width, (y + 0.5) / seen.height) for x, y in points])
        prompts = {
            "input_points": self._to_input(relative)[None, None],
            "input_labels": torch.tensor(labels)[None, None],
        }
        if box is not None:
            prompts["input_boxes"] = self._to_input(np.array(box))[None, None]
            prompts["input_masks"] = torch.tensor(low_res, dtype=torch.float32)[None, None]
        with torch.no_grad():
            out = self.sam(
                image_embeddings=list(seen.embeddings), multimask_output=True, **prompts
            )
        return out.pred_masks[0, 0].numpy(), out.iou_scores[0, 0].numpy()

    def _to_input(self, relative: np.ndarray) -> torch.Tensor:
        """To pixels of SAM's input; transformers adds half a pixel itself."""
        return torch.tensor(relative * self.sam_size - 0.5, dtype=torch.float32)


def _pixels(image: np.ndarray, size: int) -> torch.Tensor:
    """The image squashed to a square and normalised, float [1, 3, size, size]."""
    values = torch.tensor(image / 255, dtype=torch.float32).permute(2, 0, 1)[None]
    square = F.interpolate(values, (size, size), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(v, dtype=torch.float32).reshape(1, 3, 1, 1) for v in (MEAN, STD))
    return (square - mean) / std


def _covered_cells(mask: np.ndarray, grid: int) -> list[tuple[int, int]]:
    """Cells (row, column) of a grid over the mask that it fills by half, or else the fullest."""
    height, width = mask.shape
    filled = np.zeros((grid, grid))
    for row in range(grid):
        top, bottom = row * height // grid, -(-(row + 1) * height // grid)
        for column in range(grid):
            left, right = column * width // grid, -(-(column + 1) * width // grid)
            filled[row, column] = mask[top:bottom, left:right].mean()
    enough = min(0.5, filled.max() - 1e-6)
    rows, columns = np.nonzero(filled >= enough)
    return list(zip(rows, columns, strict=True))


def _alike(seen: Seen, vectors: list[np.ndarray], height: int = 0, width: int = 0) -> np.ndarray:
    """Cosine similarity of each cell to a vector, both maps up-sampled and averaged: [H, W]."""
    maps = []
    for feature_map, vector in zip(seen.maps, vectors, strict=True):
        lengths = np.sqrt((feature_map**2).sum(0))
        cosine = (feature_map * vector[:, None, None]).sum(0) / lengths
        maps.append(_enlarge(cosine, height or seen.height, width or seen.width))
    return np.mean(maps, axis=0)


def _enlarge(values: np.ndarray, height: int, width: int) -> np.ndarray:
    return _enlarge_map(values[None], height, width)[0]


def _enlarge_map(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear: [C, h, w] to [C, height, width]."""
    tensor = torch.tensor(values, dtype=torch.float32)[None]
    return F.interpolate(tensor, (height, width), mode="bilinear", align_corners=False)[0].numpy()


def _between_cells(values: np.ndarray, row: float, column: float) -> np.ndarray:
    """Bilinear between the four cells around a position, float [C]; the border continues."""
    side = values.shape[1]
    row, column = min(max(row, 0), side - 1), min(max(column, 0), side - 1)
    top, left = int(row), int(column)
    bottom, right = min(top + 1, side - 1), min(left + 1, side - 1)
    down, across = row - top, column - left
    above = (1 - across) * values[:, top, left] + across * values[:, top, right]
    below = (1 - across) * values[:, bottom, left] + across * values[:, bottom, right]
    return (1 - down) * above + down * below


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.sqrt((vector**2).sum())


def _highest(values: np.ndarray) -> tuple[int, int]:
    row, column = np.unravel_index(np.argmax(values), values.shape)
    return int(column), int(row)


def _lowest(values: np.ndarray, box=(0, 0, 1, 1)) -> tuple[int, int]:
    """The (column, row) of the minimum among the pixels whose middle is in a box."""
    height, width = values.shape
    x0, y0, x1, y1 = box
    allowed = np.full(values.shape, np.inf)
    # The box ends on middles of pixels: some slack for their rounding.
    rows = [r for r in range(height) if y0 - 1e-6 <= (r + 0.5) / height <= y1 + 1e-6]
    columns = [c for c in range(width) if x0 - 1e-6 <= (c + 0.5) / width <= x1 + 1e-6]
    for row in rows:
        allowed[row, columns] = values[row, columns]
    row, column = np.unravel_index(np.argmin(allowed), values.shape)
    return int(column), int(row)


def _box(mask: np.ndarray) -> tuple[float, float, float, float]:
    """Around the middles of a mask's pixels, relative; of an empty one nearly the whole frame."""
    height, width = mask.shape
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return 0.01, 0.01, 0.99, 0.99
    return (
        (columns.min() + 0.5) / width,
        (rows.min() + 0.5) / height,
        (columns.max() + 0.5) / width,
        (rows.max() + 0.5) / height,
    )
