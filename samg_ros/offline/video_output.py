"""A masked video and one with the masks drawn in."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np

from samg_ros.offline.atomic import OutputError, replacing
from samg_ros.offline.replay import MaskedFrame

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
        """:raises OutputError: the file does not hold what was written: OpenCV tells no errors."""
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
