"""What a run makes of its masks, by the kind of its source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from samg_ros.masking.lost import LostBehaviour, LostFrames
from samg_ros.offline.picture_output import write_pictures
from samg_ros.offline.replay import Replay, replayed
from samg_ros.offline.results import Results
from samg_ros.offline.source import FrameSource
from samg_ros.offline.video_file import Video
from samg_ros.offline.video_output import write_videos


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
        from samg_ros.offline.bag_output import write_bag
        from samg_ros.offline.bag_topic import BagTopic

        assert isinstance(source, BagTopic)
        return write_bag(source, replay, results.folder, *topics, say)
    frames = replayed(source, replay)
    if isinstance(source, Video):
        return write_videos(frames, results.folder, source.fps)
    return write_pictures(frames, results.folder)
