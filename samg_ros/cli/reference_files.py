"""``samg reference files``: a reference from a picture and hand-made masks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, Positional, UseAppendAction, arg

from samg_ros.errors import InvalidReferenceError
from samg_ros.masking.config import PART_POINTS
from samg_ros.parameters import documented, parameter, validate

if TYPE_CHECKING:
    import numpy as np

    from samg_ros.masking.reference import Reference


@documented
@dataclass(frozen=True)
class SaveOptions:
    """Where the reference goes."""

    out: Path | None = parameter(None, "file to write; IMAGE.npz here where none is given")
    add: Path | None = parameter(
        None, "reference to add a view to; written back to it unless --out says otherwise"
    )
    overwrite: bool = parameter(False, "replace a file that is there")
    parts: int = parameter(PART_POINTS, "part points found on each target", low=0, high=64)

    def __post_init__(self) -> None:
        validate(self)


def save_view(
    image: Path,
    rgb: np.ndarray,
    masks: dict[str, np.ndarray],
    points: dict[str, np.ndarray],
    options: SaveOptions,
    about: dict[str, Any],
) -> None:
    """Save one picture as a reference, or as another view of one.

    :param masks: bool [H, W] by target. :param points: float32 [P, 2] by target; targets without
        any get automatic ones.
    :raises SamgError: the view is not valid, or cannot be written.
    """
    from samg_ros.masking.reference import Reference, View
    from samg_ros.recorded.references import combined, destination

    path = destination(options.out, options.add, image, options.overwrite)
    view = View.from_masks(rgb, masks, points, options.parts)
    known = Reference.load(options.add).names if options.add else tuple(masks)
    save(combined(view, {"image": image.name, **about}, options.add), path)
    for name in (n for n in masks if n not in known):
        print(f"new target in {path}: {name} (it had {', '.join(known)})")


def save(reference: Reference, path: Path) -> None:
    """Write the file and its preview, and say where they lie."""
    from samg_ros.recorded.references import write_reference

    picture = write_reference(reference, path)
    views = "1 view" if len(reference.views) == 1 else f"{len(reference.views)} views"
    print(f"{path}: {views} of {', '.join(reference.names)}")
    print(f"{picture}: what it looks like")


def parse_point(text: str, what: str) -> tuple[float, float]:
    """``X,Y`` in pixels. :raises InvalidReferenceError: anything else."""
    try:
        x, y = (float(number) for number in text.split(","))
    except ValueError as error:
        raise InvalidReferenceError(
            f"{what}: {text!r} is not a point; write X,Y in pixels, for example 120,80"
        ) from error
    return x, y


# What a repeatable option with several words each gives.
Words = tuple[tuple[str, ...], ...]


def files(
    image: Positional[Path],
    masks: Positional[Annotated[tuple[str, ...], arg(metavar="[NAME=]MASK ...")]],
    saving: OmitArgPrefixes[SaveOptions],
    names: Annotated[tuple[str, ...], arg(metavar="NAME ...")] = (),
    points: UseAppendAction[Annotated[Words, arg(metavar="NAME X,Y ...")]] = (),
    part_masks: UseAppendAction[Annotated[Words, arg(metavar="NAME MASK ...")]] = (),
) -> None:
    """Make a reference from a picture and masks, one for each target.

    A mask is a PNG, TIFF or BMP of the picture's size: black (or, in a cut-out, transparent) off
    the target. One label image may hold several targets: name them in ascending order of its
    values with --names, or one by one as NAME=FILE:VALUE, the value being a grey level or a
    colour #rrggbb.

    :param image: the picture: any size, PNG, JPEG, TIFF, WebP, ...
    :param masks: a mask a target, as MASK, NAME=MASK or NAME=MASK:VALUE.
    :param names: the targets' names, in order; without, the masks' file names.
    :param points: part points of a target, in pixels, instead of automatic ones.
    :param part_masks: masks of a target's parts; each gives a part point in its middle.
    """
    from samg_ros.recorded.source import read_rgb

    rgb = read_rgb(image)
    found = read_targets(masks, names)
    for name, mask in found.items():
        _check_size(f"the mask of target {name!r}", mask, rgb)
    chosen = given_points(points, part_masks, found)
    save_view(image, rgb, found, chosen, saving, {"made_from": "files"})


def read_targets(masks: tuple[str, ...], names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The masks, bool [H, W], by target. :raises InvalidReferenceError: see :func:`files`."""
    if not masks:
        raise InvalidReferenceError("give at least one mask after the image")
    if names and len(masks) == 1 and len(names) > 1:
        return _all_labels(Path(masks[0]), names)
    if names and len(names) != len(masks):
        raise InvalidReferenceError(f"{len(masks)} masks, but {len(names)} names: {names}")
    found: dict[str, np.ndarray] = {}
    for index, text in enumerate(masks):
        name, mask = _one(text)
        name = names[index] if names else name
        if name in found:
            raise InvalidReferenceError(f"two masks are called {name!r}; name them by NAME=MASK")
        found[name] = mask
    return found


def given_points(
    points: Words, part_masks: Words, targets: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Part points by target, float32 [P, 2], from --points and --part-masks.

    :raises InvalidReferenceError: unknown target, a point off its target, an empty part.
    """
    import numpy as np

    found: dict[str, list[tuple[float, float]]] = {}
    for name, *texts in points:
        at = [parse_point(text, f"--points {name}") for text in texts]
        found.setdefault(_known(name, targets), []).extend(at)
    for name, *paths in part_masks:
        mask = targets[_known(name, targets)]
        at = [_middle(Path(path), mask, name) for path in paths]
        found.setdefault(name, []).extend(at)
    for name, at in found.items():
        _check_points(name, at, targets[name])
    return {name: np.array(at, np.float32).reshape(-1, 2) for name, at in found.items()}


def _one(text: str) -> tuple[str, np.ndarray]:
    """``MASK``, ``NAME=MASK`` or ``NAME=MASK:VALUE``."""
    from samg_ros.recorded.references import read_labels, read_mask

    name, _, file = text.rpartition("=")
    path, _, value = file.rpartition(":")
    if not path or Path(file).exists():
        return name or Path(file).stem, read_mask(Path(file))
    wanted = _value(value, text)
    labels = read_labels(Path(path))
    if wanted not in labels:
        raise InvalidReferenceError(f"{path} has no {value}; it has: {_listed(labels)}")
    return name or f"{Path(path).stem}_{value.lstrip('#')}", labels[wanted]


def _value(text: str, argument: str) -> int:
    try:
        return int(text[1:], 16) if text.startswith("#") else int(text)
    except ValueError as error:
        raise InvalidReferenceError(
            f"{argument!r}: {text!r} is neither a grey level nor a colour #rrggbb"
        ) from error


def _all_labels(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    from samg_ros.recorded.references import read_labels

    labels = read_labels(path)
    if len(labels) != len(names):
        raise InvalidReferenceError(
            f"{path} has {len(labels)} values besides 0 ({_listed(labels)}) for {len(names)} names"
        )
    return dict(zip(names, labels.values(), strict=True))


def _listed(labels: dict[int, np.ndarray]) -> str:
    return ", ".join(str(v) if v < 1 << 16 else f"#{v:06x}" for v in labels) or "nothing but 0"


def _middle(path: Path, target: np.ndarray, name: str) -> tuple[float, float]:
    from samg_ros.masking.reference import part_points
    from samg_ros.recorded.references import read_mask

    mask = read_mask(path)
    if mask.shape != target.shape:
        raise InvalidReferenceError(
            f"the part {path} is {mask.shape[1]}x{mask.shape[0]}, target {name!r} "
            f"{target.shape[1]}x{target.shape[0]}"
        )
    if not (mask & target).any():
        raise InvalidReferenceError(f"the part {path} has nothing in common with target {name!r}")
    x, y = part_points(mask & target, 1)[0]
    return float(x), float(y)


def _known(name: str, targets: dict[str, np.ndarray]) -> str:
    if name not in targets:
        raise InvalidReferenceError(f"no target {name!r}; there are: {', '.join(targets)}")
    return name


def _check_size(what: str, mask: np.ndarray, rgb: np.ndarray) -> None:
    if mask.shape != rgb.shape[:2]:
        raise InvalidReferenceError(
            f"{what} is {mask.shape[1]}x{mask.shape[0]}, the image "
            f"{rgb.shape[1]}x{rgb.shape[0]}; they must be of one size"
        )


def _check_points(name: str, points: list[tuple[float, float]], mask: np.ndarray) -> None:
    height, width = mask.shape
    for x, y in points:
        if not (0 <= x <= width - 1 and 0 <= y <= height - 1):
            raise InvalidReferenceError(
                f"point {x:g},{y:g} of target {name!r} lies outside the {width}x{height} image"
            )
        if not mask[int(y), int(x)]:
            raise InvalidReferenceError(f"point {x:g},{y:g} is not on the mask of target {name!r}")
