"""``samg reference``: make a reference: pictures, masks and points that say what to look for.

Here: ``samg reference clicks``, of a picture and points clicked on the targets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, Positional, UseAppendAction, arg

from samg_ros.cli import run_verb
from samg_ros.cli.reference_files import SaveOptions, parse_point, save_view
from samg_ros.errors import InvalidReferenceError
from samg_ros.masking.config import EXTENTS
from samg_ros.parameters import documented, parameter, validate

if TYPE_CHECKING:
    from samg_ros.masking.clicks import Clicks
    from samg_ros.models.base import Segmenter

NEGATIVE_CLICK = re.compile(r"-[\d.]+,.*")


@documented
@dataclass(frozen=True)
class ClickOptions:
    """How clicks become masks."""

    extent: str = parameter(
        "auto",
        "of the masks that agree with the clicks the smallest, the largest, or by predicted IoU",
        choices=EXTENTS,
    )
    segmenter: str = parameter("sam2_hiera_tiny", "segmentation model")
    segmenter_weights: str = parameter("", "file of its weights; empty finds them")
    input_size: int = parameter(
        1024, "side of the segmenter's square input", unit="px", low=128, high=2048
    )
    device: str = parameter("auto", "torch device: auto, cpu, cuda, cuda:1, ...")

    def __post_init__(self) -> None:
        validate(self)


def main(argv: list[str]) -> int:
    """Run ``samg reference sim | files | clicks``."""
    return run_verb("reference", protect_negative_clicks(argv))


def clicks(
    image: Positional[Path],
    target: UseAppendAction[
        Annotated[tuple[tuple[str, ...], ...], arg(metavar="NAME X,Y [X,Y] [-X,Y] ...")]
    ],
    saving: OmitArgPrefixes[SaveOptions],
    segmentation: OmitArgPrefixes[ClickOptions],
) -> None:
    """Make a reference from points clicked on the targets; SAM segments them.

    Example: samg reference clicks desk.jpg --target cup 120,80 130,95 -90,20 --target pen 300,40

    :param image: the picture: any size, PNG, JPEG, TIFF, WebP, ...
    :param target: a target's name and clicks, in pixels; a minus before a click says that the
        target is not there.
    """
    from samg_ros.masking.clicks import check_clicks, segment_clicks
    from samg_ros.recorded.source import read_rgb

    if not target:
        raise InvalidReferenceError("give at least one --target NAME X,Y ...")
    rgb = read_rgb(image)
    given = [parse_clicks(words) for words in target]
    names = [c.name for c in given]
    if len(set(names)) < len(names):
        raise InvalidReferenceError(f"target names must differ; they are {', '.join(names)}")
    for one in given:  # before weights are looked for, which can take long
        check_clicks(one, *rgb.shape[:2])
    masks = segment_clicks(load_segmenter(segmentation), rgb, given, segmentation.extent)
    target = tuple(tuple(word.strip() for word in words) for words in target)
    about = {"made_from": "clicks", "targets": {words[0]: list(words[1:]) for words in target}}
    found = dict(zip(names, masks, strict=True))
    save_view(image, rgb, found, {}, saving, about)


def parse_clicks(words: tuple[str, ...]) -> Clicks:
    """``NAME X,Y -X,Y ...``. :raises InvalidReferenceError: no name, or not a point."""
    from samg_ros.masking.clicks import Clicks

    if not words or "," in words[0]:
        raise InvalidReferenceError("begin each --target with its name: --target NAME X,Y ...")
    name, *points = (word.strip() for word in words)
    what = f"--target {name}"
    positive = tuple(parse_point(p, what) for p in points if not p.startswith("-"))
    negative = tuple(parse_point(p[1:], what) for p in points if p.startswith("-"))
    return Clicks(name, positive, negative)


def protect_negative_clicks(argv: list[str]) -> list[str]:
    """Put a space before ``-90,20``, so that it is not taken for an option."""
    return [f" {a}" if NEGATIVE_CLICK.fullmatch(a) else a for a in argv]


def load_segmenter(options: ClickOptions) -> Segmenter:
    """The segmenter, its weights fetched where needed, in float32."""
    import torch

    from samg_ros.models.base import choose_device, models
    from samg_ros.weights.catalogue import check_role
    from samg_ros.weights.resolve import resolve

    factory = models.get(options.segmenter)
    check_role(options.segmenter, "segmenter")
    path = resolve(options.segmenter, options.segmenter_weights or None).path
    device = choose_device(options.device)
    return factory(path, options.input_size, device, torch.float32)
