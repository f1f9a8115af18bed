"""What kind of thing an input path is, and what a run makes of its masks by that kind."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from samg_ros.errors import ConfigError
from samg_ros.io.atomic import write_png
from samg_ros.masking.result import LostBehaviour, LostFrames
from samg_ros.recorded.results import MaskedFrame, Replay, Results, replayed
from samg_ros.recorded.source import SUFFIXES, FrameSource, Pictures
from samg_ros.recorded.video import Video, write_videos

BAG_FILES = frozenset({".mcap", ".db3", ".bag"})
_ENDS = 2**20  # bytes that are looked at where a file begins and ends


def open_input(path: Path, topic: str = "", new_topics: tuple[str, ...] = ()) -> FrameSource:
    """A picture, a folder of pictures, a video, or a bag (its folder or its one file).

    :param topic: the image topic of a bag; may be empty where there is only one.
    :param new_topics: names for topics of a masked copy of a bag.
    :raises SamgError: nothing there, or it cannot be read.
    """
    if not path.exists():
        raise ConfigError(f"there is no {path}; give a picture, a folder, a video or a bag")
    suffix = path.suffix.lower()
    if (path / "metadata.yaml").is_file() or (path.is_file() and suffix in BAG_FILES):
        # Only here: rosbags is an extra that pictures and videos do without.
        try:
            from samg_ros.recorded.bag import BagTopic
        except ModuleNotFoundError as error:
            raise ConfigError(f"bags need {error.name}: pip install 'samg_ros[bag]'") from error
        return BagTopic(path, topic, new_topics)
    if topic:
        raise ConfigError(f"--topic is for bags; {path} is none")
    if path.is_dir() and any(p.suffix in (".mcap", ".db3") for p in path.iterdir()):
        raise ConfigError(f"{path} has no metadata.yaml; name the .mcap file in it instead")
    if path.is_dir() or suffix in SUFFIXES:
        return Pictures(path)
    return Video(path)


def identity(path: Path) -> str:
    """What distinguishes an input from another of the same name.

    A folder of pictures is known by where it lies, since it may grow. A bag or a file is known by
    its size and its first and last MiB, wherever it lies.

    :raises ConfigError: it cannot be read.
    """
    files = sorted(p for p in path.iterdir() if p.suffix in BAG_FILES) if path.is_dir() else [path]
    if not files:
        return str(path.resolve())
    digest = hashlib.sha256()
    try:
        for file in files:
            _add_ends(digest, file)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    return digest.hexdigest()


def _add_ends(digest: hashlib._Hash, path: Path) -> None:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        digest.update(str(size).encode())
        for start in (0, max(0, size - _ENDS)):
            file.seek(start)
            digest.update(file.read(_ENDS))


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
        from samg_ros.recorded.bag import BagTopic, write_bag

        assert isinstance(source, BagTopic)
        return write_bag(source, replay, results.folder, *topics, say)
    frames = replayed(source, replay)
    if isinstance(source, Video):
        return write_videos(frames, results.folder, source.fps)
    return write_pictures(frames, results.folder)
