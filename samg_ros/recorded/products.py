"""What a run makes of its masks, by the kind of its source."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from samg_ros.io.atomic import write_png
from samg_ros.masking.result import LostBehaviour, LostFrames
from samg_ros.recorded.results import MaskedFrame, Replay, Results, replayed
from samg_ros.recorded.source import FrameSource
from samg_ros.recorded.video import Video, write_videos


def write_pictures(frames: Iterable[MaskedFrame], folder: Path) -> list[Path]:
    """:return: what was made. :raises OutputError: the disk refuses it."""
    for frame in frames:
        write_png(folder / "masked" / f"{frame.name}.png", frame.masked)
    return [folder / "masked"]


def write_products(
    source: FrameSource,
    results: Results,
    on_lost: LostBehaviour,
    topics: tuple[str, str],
    say: Callable[[str], None],
) -> list[Path]:
    """Masked pictures, videos or a bag; quick beside finding the masks, so always made in full.

    :param topics: names of the masked image and of the mask in a bag.
    :return: what was made. :raises SamgError: it cannot be written.
    """
    replay = Replay(results, LostFrames(on_lost))
    if source.kind == "bag":
        from samg_ros.recorded.bag_output import write_bag
        from samg_ros.recorded.bag_topic import BagTopic

        assert isinstance(source, BagTopic)
        return write_bag(source, replay, results.folder, *topics, say)
    frames = replayed(source, replay)
    if isinstance(source, Video):
        return write_videos(frames, results.folder, source.fps)
    return write_pictures(frames, results.folder)
