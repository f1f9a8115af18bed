"""The reference: pictures of the scene with the mask and part points of every target."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from samg_ros.errors import ImageError, InvalidReferenceError, quoted
from samg_ros.images import check_rgb
from samg_ros.io.arrays import read_arrays
from samg_ros.io.atomic import replacing
from samg_ros.masking.config import PART_POINTS

FORMAT_VERSION = 1
LONGEST_NAME = 64
MOST_VIEWS = 256
MOST_PIXELS = 64_000_000
"""Of a view's picture."""
_NO_POINTS = np.zeros((0, 2), np.float32)


@dataclass(frozen=True)
class Target:
    """One object, as a view shows it.

    ``mask``: bool [H, W]. ``points``: float32 [P, 2], (x, y) in pixels of the view's image, each
    on a part of the object (SAM-G's extra points).
    """

    name: str
    mask: np.ndarray
    points: np.ndarray


@dataclass(frozen=True)
class View:
    """One picture with the targets that are seen in it. ``image``: uint8 [H, W, 3] RGB.

    :raises InvalidReferenceError: an empty mask, a size that differs, a point outside, no target.
    """

    image: np.ndarray
    targets: tuple[Target, ...]

    def __post_init__(self) -> None:
        try:
            check_rgb(self.image, "the reference image")
        except ImageError as error:
            raise InvalidReferenceError(str(error)) from None
        if self.image.shape[0] * self.image.shape[1] > MOST_PIXELS:
            raise InvalidReferenceError(f"a reference image has at most {MOST_PIXELS:,} pixels")
        if not self.targets:
            raise InvalidReferenceError("a reference needs at least one target with a mask")
        names = [target.name for target in self.targets]
        if len(set(names)) < len(names):
            raise InvalidReferenceError(f"target names must differ; they are {quoted(names)}")
        for target in self.targets:
            _check(target, self.image.shape[:2])

    @classmethod
    def from_masks(
        cls,
        rgb: np.ndarray,
        masks: Mapping[str, np.ndarray],
        points: Mapping[str, np.ndarray] | None = None,
        parts: int = PART_POINTS,
    ) -> View:
        """As :meth:`Reference.from_masks`."""
        if not isinstance(masks, Mapping):
            raise InvalidReferenceError('masks are given by target, such as {"cup": mask}')
        if not isinstance(parts, int) or parts < 0:
            raise InvalidReferenceError(f"parts is {parts!r}; it must be a whole number from 0 on")
        given = points or {}
        unknown = [name for name in given if name not in masks]
        if unknown:
            raise InvalidReferenceError(
                f"points of {unknown[0]!r}, which has no mask; there are: {', '.join(masks)}"
            )
        targets = []
        for name, values in masks.items():
            mask = np.asarray(values)
            if mask.dtype.kind in "iu":  # as picture files have them
                mask = mask != 0
            if mask.ndim != 2:
                raise InvalidReferenceError(
                    f"the mask of target {quoted(name, 40)} is {list(mask.shape)}; give one value "
                    "for each pixel, [height, width]"
                )
            if name in given:
                try:
                    at = np.asarray(given[name], np.float32)
                except (TypeError, ValueError) as error:
                    raise InvalidReferenceError(
                        f"the points of target {quoted(name, 40)} are no numbers: {error}"
                    ) from error
            else:
                at = part_points(mask, parts) if mask.dtype == bool and mask.any() else _NO_POINTS
            targets.append(Target(name, mask, at))
        return cls(np.asarray(rgb), tuple(targets))


@dataclass(frozen=True)
class Reference:
    """What the masker is given about a scene, once.

    SAM-G gives one view. Things that turn look different from behind: with further views the
    masker takes, for every target in every frame, the one that fits best. A view may lack targets
    that are hidden in it. ``about`` records where it came from (task, camera, seed, ...).

    :raises InvalidReferenceError: no view.
    """

    views: tuple[View, ...]
    about: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.views:
            raise InvalidReferenceError("a reference needs at least one view")

    @classmethod
    def from_masks(
        cls,
        rgb: np.ndarray,
        masks: Mapping[str, np.ndarray],
        points: Mapping[str, np.ndarray] | None = None,
        parts: int = PART_POINTS,
    ) -> Reference:
        """A reference of one picture.

        :param rgb: uint8 [H, W, 3].
        :param masks: by target, bool [H, W], or whole numbers that are 0 off the target.
        :param points: by target, float [P, 2], (x, y) in pixels, each on a part of it.
        :param parts: how many points are found on each target for which none are given.
        :raises InvalidReferenceError: a mask is empty or of another size, or a point outside.
        """
        return cls((View.from_masks(rgb, masks, points, parts),))

    @property
    def names(self) -> tuple[str, ...]:
        """The targets' names, in the order in which the views first show them."""
        return tuple(dict.fromkeys(t.name for view in self.views for t in view.targets))

    def save(self, path: str | Path) -> None:
        """Write one compressed ``.npz``, whole or not at all.

        :raises InvalidReferenceError: what was written cannot be read; nothing is replaced.
        :raises OutputError: the disk refuses it.
        """
        names = [[target.name for target in view.targets] for view in self.views]
        header = {"format": FORMAT_VERSION, "names": names, "about": self.about}
        arrays = {"header": np.array(json.dumps(header))}
        for v, view in enumerate(self.views):
            arrays[f"image_{v}"] = view.image
            for t, target in enumerate(view.targets):
                arrays[f"mask_{v}_{t}"] = np.packbits(target.mask, axis=1)
                arrays[f"points_{v}_{t}"] = target.points.astype(np.float32)
        with replacing(Path(path).expanduser()) as temporary:
            with temporary.open("wb") as file:
                np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
            self.load(temporary)

    @classmethod
    def load(cls, path: str | Path) -> Reference:
        """Read and validate what :meth:`save` wrote.

        :param path: a ``.npz``, or the name of a task whose reference ships.
        :raises InvalidReferenceError: missing, truncated, of another format, or inconsistent.
        """
        path = Path(path).expanduser()
        if not path.exists() and not path.suffix:
            path = find_reference(str(path))
        try:
            arrays = read_arrays(Path(path))
            header = json.loads(str(arrays["header"]))
            if header["format"] != FORMAT_VERSION:
                raise InvalidReferenceError(
                    f"{path} has reference format {str(header['format'])[:20]}; this version "
                    f"reads {FORMAT_VERSION}. Make it anew with `samg reference`"
                )
            about, names = header["about"], header["names"]
            if not isinstance(about, dict) or not 0 < len(names) <= MOST_VIEWS:
                raise InvalidReferenceError(f"{path}: 1 to {MOST_VIEWS} views are possible")
            views = tuple(_read_view(arrays, v, n) for v, n in enumerate(names))
        except FileNotFoundError as error:
            raise InvalidReferenceError(
                f"no reference at {path}; make one with `samg reference`"
            ) from error
        except InvalidReferenceError:
            raise
        except Exception as error:  # the file's content is anybody's
            raise InvalidReferenceError(
                f"{path} is not a readable reference: {quoted(error, 160)}"
            ) from error
        return cls(views, about)


def shipped_reference(task: str) -> Path:
    """Where the package keeps the reference of a simulated task (it may not exist)."""
    return Path(__file__).parent / "references" / f"{task}.npz"


def find_reference(name: str) -> Path:
    """The file a ``reference`` parameter means: a path, or a task's shipped one.

    :raises InvalidReferenceError: empty, or neither.
    """
    if not name:
        raise InvalidReferenceError(
            "set the parameter 'reference' to a .npz made by `samg reference`"
        )
    path, shipped = Path(name).expanduser(), shipped_reference(name)
    if path.is_file() or shipped.is_file():
        return path if path.is_file() else shipped
    known = sorted(p.stem for p in shipped_reference("").parent.glob("*.npz"))
    raise InvalidReferenceError(
        f"no reference {name!r}: neither a file nor one of {', '.join(known)}"
    )


def _read_view(file: Mapping[str, np.ndarray], v: int, names: list[str]) -> View:
    image = file[f"image_{v}"]
    targets = tuple(
        Target(
            name,
            np.unpackbits(file[f"mask_{v}_{t}"], axis=1, count=image.shape[1]) > 0,
            file[f"points_{v}_{t}"],
        )
        for t, name in enumerate(names)
    )
    return View(image, targets)


def _check(target: Target, size: tuple[int, ...]) -> None:
    name = target.name
    if not (isinstance(name, str) and 0 < len(name) <= LONGEST_NAME and name.isprintable()):
        raise InvalidReferenceError(
            f"a target cannot be called {quoted(name, 40)}: names are printable text of at most "
            f"{LONGEST_NAME} characters"
        )
    if target.mask.shape != size or target.mask.dtype != np.bool_:
        raise InvalidReferenceError(
            f"the mask of target {name!r} is {target.mask.dtype} {target.mask.shape}; "
            f"it must be bool {size}, like the image"
        )
    if not target.mask.any():
        raise InvalidReferenceError(f"the mask of target {name!r} is empty: nothing to look for")
    if target.points.dtype.kind not in "fiu":
        raise InvalidReferenceError(
            f"the points of target {name!r} are {target.points.dtype}, not real numbers"
        )
    if target.points.ndim != 2 or target.points.shape[1:] != (2,):
        raise InvalidReferenceError(f"the points of target {name!r} must be [P, 2], (x, y)")
    if not np.isfinite(target.points).all():
        raise InvalidReferenceError(f"the points of target {name!r} are not all finite")
    height, width = size
    outside = (target.points < 0).any(1) | (target.points > [width - 1, height - 1]).any(1)
    if outside.any():
        raise InvalidReferenceError(
            f"point {target.points[outside][0].tolist()} of target {name!r} lies outside the "
            f"{width}x{height} image"
        )


def part_points(mask: np.ndarray, count: int = PART_POINTS) -> np.ndarray:
    """One point in each of ``count`` parts of a mask: k-means of its pixels.

    The clusters begin at points spread by farthest-point sampling, so the result is the same
    every time. A point lies at least two pixels from the edge where its part is thick enough.

    :param mask: bool [H, W], not empty.
    :return: float32 [P, 2], (x, y) in pixels; P is ``count``, or fewer for a mask of fewer pixels.
    """
    if count == 0:
        return np.zeros((0, 2), np.float32)
    pixels = _coordinates(mask)
    if len(pixels) <= count:
        return pixels
    spread = _farthest_points(pixels, count)
    labels = _squared_distances(pixels, spread).argmin(1).astype(np.int32)
    stop = (cv2.TERM_CRITERIA_MAX_ITER, 50, 0)
    start = cv2.KMEANS_USE_INITIAL_LABELS
    _, labels, centres = cv2.kmeans(pixels, len(spread), labels, stop, 1, start)
    depth = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    depths, parts = depth[mask], labels.ravel()
    return np.stack(
        [_middle(pixels[parts == i], depths[parts == i], c) for i, c in enumerate(centres)]
    )


def _middle(part: np.ndarray, depths: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """The pixel of a part nearest to its centre, away from the edge if any is."""
    inner = part[depths >= min(2.0, depths.max())]
    return inner[_squared_distances(inner, centre[None])[:, 0].argmin()]


def _coordinates(mask: np.ndarray) -> np.ndarray:
    """(x, y) of a mask's pixels, float32 [n, 2]."""
    ys, xs = np.nonzero(mask)
    return np.stack([xs, ys], 1).astype(np.float32)


def _squared_distances(pixels: np.ndarray, points: np.ndarray) -> np.ndarray:
    return ((pixels[:, None] - points[None]) ** 2).sum(2)


def _farthest_points(pixels: np.ndarray, count: int) -> np.ndarray:
    chosen = [pixels[_squared_distances(pixels, pixels.mean(0)[None]).argmin()]]
    while len(chosen) < count:
        chosen.append(pixels[_squared_distances(pixels, np.stack(chosen)).min(1).argmax()])
    return np.stack(chosen)
