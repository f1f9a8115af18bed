"""The thread that masks: so that the node's other one can go on receiving frames meanwhile."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from samg_ros.errors import ImageError, SamgError
from samg_ros.masking.result import MaskResult, MaskSource
from samg_ros.nodes.masker_camera import Arrival, MaskerCamera
from samg_ros.nodes.masker_queue import FrameQueue
from samg_ros.ros.diagnostics import Monitor

log = logging.getLogger("samg_ros")


@dataclass(frozen=True)
class Opened:
    """A frame that can be masked: its pixels, uint8 [H, W, 3], and its mask if that is known."""

    camera: MaskerCamera
    arrival: Arrival
    rgb: np.ndarray
    mask: MaskResult | None


class MaskerWorker:
    """Masks what waits in the queue, batch by batch, until stopped.

    :param source: None where masks come with the frames.
    :param max_batch: frames at once.
    :param max_wait_s: how long a frame may wait for the other cameras'.
    :param failed: called, in the thread, when masking has failed for good; see :meth:`check`.
    """

    def __init__(
        self,
        cameras: Mapping[str, MaskerCamera],
        source: MaskSource | None,
        max_batch: int,
        max_wait_s: float,
        monitor: Monitor,
        failed: Callable[[], None],
    ) -> None:
        self.queue: FrameQueue[Arrival] = FrameQueue(len(cameras))
        self._cameras, self._source = cameras, source
        self._take = partial(self.queue.take, max_batch, max_wait_s)
        self._monitor, self._failed = monitor, failed
        self._error: Exception | None = None
        # A daemon: a signal between start and the node's being ready must not leave it waited for.
        self._thread = threading.Thread(target=self._run, name="masker", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let the batch under way come to its end, and count what else waits as dropped."""
        for camera, _ in self.queue.close():
            self._cameras[camera].drop()
        self._thread.join()

    def check(self) -> None:
        """:raises SamgError: masking has failed; told once."""
        error, self._error = self._error, None
        if isinstance(error, SamgError):
            raise error
        if error is not None:
            raise SamgError(f"masking failed: {type(error).__name__}: {error}") from error

    def _run(self) -> None:
        try:
            while batch := self._take():
                self._mask(batch)
        except Exception as error:  # whatever it is: a thread that ends silently helps nobody
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        if not isinstance(error, SamgError):
            log.error("masking failed", exc_info=error)
        self._error = error
        self._failed()

    def _mask(self, batch: list[tuple[str, Arrival]]) -> None:
        opened = [one for name, arrival in batch if (one := self._open(name, arrival))]
        if not opened:
            return
        self._monitor.count(f"batches_of_{len(opened)}")
        for one, mask in zip(opened, self._masks(opened), strict=True):
            one.camera.answer(one.arrival, one.rgb, mask)

    def _open(self, name: str, arrival: Arrival) -> Opened | None:
        camera = self._cameras[name]
        try:
            return Opened(camera, arrival, *camera.open(arrival))
        except ImageError as error:
            camera.refuse(arrival, error)
            return None

    def _masks(self, opened: list[Opened]) -> list[MaskResult]:
        if self._source is not None:
            return self._source([(one.camera.name, one.rgb) for one in opened])
        return [one.mask for one in opened if one.mask is not None]
