"""``samg mask``: mask pictures, a video, or a bag's image topic, without ROS."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import tyro
from tyro.conf import OmitArgPrefixes, Positional

from samg_ros.io.progress import progress
from samg_ros.masking.config import LOST_BEHAVIOURS, LostBehaviour, MaskerConfig
from samg_ros.parameters import documented, parameter, validate

if TYPE_CHECKING:  # what --help has no need of, torch above all, takes seconds to import
    from rich.console import Console

    from samg_ros.masking.masker import Masker
    from samg_ros.masking.reference import Reference
    from samg_ros.recorded.results import Record, Results
    from samg_ros.recorded.source import FrameSource

# What masks do not depend on, up to rounding: a run may be resumed with others.
FREE_SETTINGS = ("device", "precision", "threads")
SHOWN_PROBLEMS = 5


@documented
@dataclass(frozen=True)
class MaskOptions:
    """What is done around the method."""

    topic: str = parameter("", "image topic of a bag, raw or compressed; empty where it has one")
    batch: int = parameter(
        8, "frames masked at once, if 640x480; larger ones fewer", low=1, high=1024
    )
    on_lost: str = parameter(
        "auto",
        "what a frame becomes when every target is lost; auto: hold in videos and bags, blank "
        "for pictures",
        choices=("auto", *LOST_BEHAVIOURS),
    )
    image_topic: str = parameter("/samg/image", "topic of the masked images in the new bag")
    mask_topic: str = parameter("/samg/mask", "topic of the masks in the new bag")

    def __post_init__(self) -> None:
        validate(self)


def main(argv: list[str]) -> int:
    """Run ``samg mask``. :return: 0, or 1 where not a single frame could be read."""
    return tyro.cli(mask, prog="samg mask", args=argv)


def mask(
    input: Positional[Path],
    reference: str,
    out: Path,
    run: OmitArgPrefixes[MaskOptions],
    masker: OmitArgPrefixes[MaskerConfig],
) -> int:
    """Find a reference's targets in recorded frames and blank everything else.

    OUT gets masks/, scores.jsonl (a line a frame), results.json, and: masked/ for pictures,
    masked.mp4 and overlay.mp4 for a video, and for a bag the folder bag/, a copy of the original
    with masked images and masks added at the original stamps. The same command again resumes
    where a stopped run was: masks that are there are not computed again, only a video or bag is
    put together anew. Another video or bag of the same name is refused, and so is another
    picture of the same name in a folder.

    :param input: a picture, a folder of pictures, a video, or a bag (its folder or .mcap file).
    :param reference: a .npz made by `samg reference`, or the name of a task whose one ships.
    :param out: folder of the results; new, or that of the run to resume.
    """
    from rich.console import Console

    from samg_ros.io.run_folder import command_line
    from samg_ros.masking.reference import Reference, find_reference
    from samg_ros.recorded.kinds import open_input
    from samg_ros.recorded.results import Results
    from samg_ros.recorded.source import Pictures

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    found = find_reference(reference)
    loaded = Reference.load(found)
    source = open_input(input.expanduser(), run.topic, (run.image_topic, run.mask_topic))
    settings = _settings(input.expanduser(), source, found, masker)
    words = f"samg mask {input.name} --reference {found.name}"
    told = command_line(command_line(words, run), masker, FREE_SETTINGS)
    with Results(out.expanduser(), settings, told) as results:
        if isinstance(source, Pictures) and (gone := results.keep_only(source.names)):
            stay = f"their masks stay in {out}, uncounted"
            console.print(f"{gone} frames are gone from {input}; {stay}")
        fresh = _find(source, results, loaded, run.batch, masker, console)
        if results.done:
            _make(source, results, run, fresh, console)
        _show(results, console)
    return 0 if results.done else 1


def _settings(
    input: Path, source: FrameSource, reference: Path, masker: MaskerConfig
) -> dict[str, Any]:
    """What the masks depend on; kept in ``config.json``."""
    from samg_ros.recorded.kinds import identity

    method = {f"masker.{k}": v for k, v in asdict(masker).items() if k not in FREE_SETTINGS}
    return {
        "input": f"{input.name}, {identity(input)}",
        "topic": getattr(source, "topic", ""),
        "reference": hashlib.sha256(reference.read_bytes()).hexdigest(),
        **method,
    }


def _find(
    source: FrameSource,
    results: Results,
    reference: Reference,
    batch: int,
    config: MaskerConfig,
    console: Console,
) -> int:
    """Find the masks that are not there yet. :return: how many were found now."""
    from samg_ros.masking.masker import build_masker
    from samg_ros.recorded.finding import find_masks

    if results.resumed:
        console.print(f"resumed: {results.resumed} frames are masked already")
    seen: Counter[str] = Counter()
    bar = progress("masking", source.count, done=results.resumed, lines=False, console=console)
    with bar as report:

        def tell(record: Record) -> None:
            seen[record.status] += 1
            line = f"lost {seen['lost']}, unreadable {seen['unreadable']}"
            report(results.resumed + seen.total(), line)

        def build() -> Masker:
            report(results.resumed, "loading")
            masker = build_masker(reference, config)
            report(results.resumed, f"on {masker.device}")
            return masker

        find_masks(source, results, build, batch, tell)
    return len(results.done) - results.resumed


def _make(
    source: FrameSource, results: Results, options: MaskOptions, fresh: int, console: Console
) -> None:
    """Put pictures, videos or the bag together, unless they are there and nothing changed."""
    from samg_ros.recorded.kinds import write_products

    on_lost = options.on_lost
    if on_lost == "auto":
        on_lost = "blank" if source.kind == "pictures" else "hold"
    topics = (options.image_topic, options.mask_topic)
    made_as = {"on_lost": on_lost, "topics": list(topics) if source.kind == "bag" else []}
    before = results.summary()
    if before and not fresh and before["made_as"] == made_as:
        console.print("nothing was left to do")
        return
    results.unfinish()
    behaviour = cast(LostBehaviour, on_lost)
    with console.status("putting the results together"):
        made = write_products(source, results, behaviour, topics, console.print)
    files = [path.name for path in made]
    results.finish({"frames": results.counts(), "made_as": made_as, "files": files})


def _show(results: Results, console: Console) -> None:
    problems = list(results.unreadable())
    for record in problems[:SHOWN_PROBLEMS]:
        console.print(f"unreadable: {record.problem}")
    if len(problems) > SHOWN_PROBLEMS:
        console.print(f"... and {len(problems) - SHOWN_PROBLEMS} more; see scores.jsonl")
    counts = ", ".join(f"{count} {status}" for status, count in sorted(results.counts().items()))
    files = (results.summary() or {}).get("files", [])
    console.print(f"{results.folder}: {counts or 'no frames'}")
    console.print(f"  masks, scores.jsonl{''.join(f', {name}' for name in files)}")
