"""Frames of a video file."""

from __future__ import annotations

from collections.abc import Container, Iterator
from pathlib import Path

import cv2

from samg_ros.errors import ImageError
from samg_ros.offline.source import NOTHING, Kind, SourceFrame, numbered

# For files that do not say.
DEFAULT_FPS = 25.0


class Video:
    """A :class:`~samg_ros.offline.source.FrameSource` of a video, by OpenCV.

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
