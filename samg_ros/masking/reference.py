"""The reference: pictures of the scene with the mask and part points of every target."""

from __future__ import annotations

import json
import tokenize
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from samg_ros.errors import InvalidReferenceError

FORMAT_VERSION = 1
# What numpy, zipfile and json raise on damaged or foreign files.
UNREADABLE = (
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    SyntaxError,
    TypeError,
    ValueError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


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
        image = self.image
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise InvalidReferenceError(
                f"the reference image is {image.dtype} {image.shape}; give RGB, uint8 [H, W, 3]"
            )
        if not self.targets:
            raise InvalidReferenceError("a reference needs at least one target with a mask")
        names = [target.name for target in self.targets]
        if len(set(names)) < len(names):
            raise InvalidReferenceError(f"target names must differ; they are {names}")
        for target in self.targets:
            _check(target, image.shape[:2])


@dataclass(frozen=True)
class Reference:
    """What the masker is told about a scene, once.

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

    @property
    def names(self) -> tuple[str, ...]:
        """The targets' names, in the order in which the views first show them."""
        return tuple(dict.fromkeys(t.name for view in self.views for t in view.targets))

    def save(self, path: Path) -> None:
        """Write one compressed ``.npz``."""
        names = [[target.name for target in view.targets] for view in self.views]
        header = {"format": FORMAT_VERSION, "names": names, "about": self.about}
        arrays = {"header": np.array(json.dumps(header))}
        for v, view in enumerate(self.views):
            arrays[f"image_{v}"] = view.image
            for t, target in enumerate(view.targets):
                arrays[f"mask_{v}_{t}"] = np.packbits(target.mask, axis=1)
                arrays[f"points_{v}_{t}"] = target.points.astype(np.float32)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> Reference:
        """Read and validate what :meth:`save` wrote.

        :raises InvalidReferenceError: missing, truncated, of another format, or inconsistent.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                header = json.loads(str(file["header"]))
                if header["format"] != FORMAT_VERSION:
                    raise InvalidReferenceError(
                        f"{path} has reference format {header['format']}; this version reads "
                        f"{FORMAT_VERSION}. Make it anew with `samg reference`"
                    )
                about = header["about"]
                views = tuple(_read_view(file, v, n) for v, n in enumerate(header["names"]))
        except FileNotFoundError as error:
            raise InvalidReferenceError(
                f"no reference at {path}; make one with `samg reference`"
            ) from error
        except UNREADABLE as error:
            raise InvalidReferenceError(f"{path} is not a readable reference: {error}") from error
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


def _read_view(file, v: int, names: list[str]) -> View:
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
    if target.mask.shape != size or target.mask.dtype != np.bool_:
        raise InvalidReferenceError(
            f"the mask of target {name!r} is {target.mask.dtype} {target.mask.shape}; "
            f"it must be bool {size}, like the image"
        )
    if not target.mask.any():
        raise InvalidReferenceError(f"the mask of target {name!r} is empty: nothing to look for")
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
