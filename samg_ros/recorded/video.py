"""Frames of a video file."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np

from samg_ros.errors import ImageError
from samg_ros.io.atomic import OutputError, replacing
from samg_ros.recorded.results import MaskedFrame
from samg_ros.recorded.source import NOTHING, Kind, SourceFrame, numbered

# For files that do not say.
DEFAULT_FPS = 25.0


class Video:
    """A :class:`~samg_ros.recorded.source.FrameSource` of a video, by OpenCV.

    ``fps``: frames a second, as the file says.

    :raises ImageError: not a video that can be decoded here.
    """

    kind: Kind = "video"

    def __init__(self, path: Path) -> None:
        self._path = path
        capture = self._open()
        self._count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        fps = capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 0 < fps < 1000 else DEFAULT_FPS
        capture.release()

    @property
    def count(self) -> int | None:
        return self._count if self._count > 0 else None

    def frames(self, skip: Container[str] = NOTHING) -> Iterator[SourceFrame]:
        capture, index = self._open(), 0
        try:
            # Skipped frames are decoded too: seeking is not exact with every codec.
            while capture.grab():
                name = numbered(index)
                index += 1
                if name not in skip:
                    yield _retrieved(capture, name)
        finally:
            capture.release()
        if index < self._count:
            problem = f"the video ends after {index} frames; its header says {self._count}"
            yield SourceFrame(numbered(index), None, problem)

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(str(self._path))
        if not capture.isOpened():
            raise ImageError(
                f"{self._path} cannot be opened as a video: it is damaged, or of a format that "
                "OpenCV does not read"
            )
        return capture


def _retrieved(capture: cv2.VideoCapture, name: str) -> SourceFrame:
    ok, bgr = capture.retrieve()
    if not ok:
        return SourceFrame(name, None, f"frame {int(name)} of the video cannot be decoded")
    return SourceFrame(name, cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))


# VP9: what OpenCV's wheel can encode and browsers can play.
CODEC = "vp09"


class VideoWriter:
    """Writes one ``.mp4``; the size is that of its first frame, made even as the codec wants it:
    an odd last row or column is there twice."""

    def __init__(self, path: Path, fps: float) -> None:
        self._path, self._fps = path, fps
        self._writer: cv2.VideoWriter | None = None
        self._frames = 0

    def write(self, rgb: np.ndarray) -> None:
        """:param rgb: uint8 [H, W, 3]. :raises OutputError: the file cannot be begun."""
        height, width = rgb.shape[:2]
        rgb = cv2.copyMakeBorder(rgb, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        if self._writer is None:
            size = (rgb.shape[1], rgb.shape[0])
            fourcc = cv2.VideoWriter.fourcc(*CODEC)
            self._writer = cv2.VideoWriter(str(self._path), fourcc, self._fps, size)
            if not self._writer.isOpened():
                raise OutputError(f"cannot begin the video {self._path}: no encoder for {CODEC}")
        self._writer.write(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
        self._frames += 1

    def close(self) -> None:
        """:raises OutputError: the file lacks what was written: OpenCV reports no errors."""
        if self._writer is None:
            return
        self._writer.release()
        written = int(cv2.VideoCapture(str(self._path)).get(cv2.CAP_PROP_FRAME_COUNT))
        if written != self._frames:
            raise OutputError(
                f"{self._path} holds {max(written, 0)} of {self._frames} frames: is the disk full?"
            )


def write_videos(frames: Iterable[MaskedFrame], folder: Path, fps: float) -> list[Path]:
    """``masked.mp4`` and ``overlay.mp4``. :return: both. :raises OutputError: as above."""
    paths = [folder / "masked.mp4", folder / "overlay.mp4"]
    with ExitStack() as stack:
        masked, overlay = (VideoWriter(stack.enter_context(replacing(p)), fps) for p in paths)
        for frame in frames:
            masked.write(frame.masked)
            overlay.write(frame.overlay)
        masked.close()
        overlay.close()
    return paths
