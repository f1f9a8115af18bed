"""The masker: camera frames in, masked frames, masks and overlays out."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from samg_ros.errors import ImageError, SamgError
from samg_ros.masking.config import MaskerConfig
from samg_ros.masking.result import MaskResult, MaskSource, UniformFrames
from samg_ros.nodes.config import MaskerNodeConfig
from samg_ros.nodes.masker_camera import Arrival, MaskerCamera
from samg_ros.nodes.masker_queue import FrameQueue
from samg_ros.ros.diagnostics import Monitor
from samg_ros.ros.parameters import declare
from samg_ros.ros.runtime import autostart, forward_logging, guarded, run

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
        """:raises SamgError: masking has failed; raised once."""
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


class MaskerNode(LifecycleNode):
    """Lifecycle node ``masker``: loads and warms up in configure, works while active."""

    def __init__(self) -> None:
        super().__init__("masker")
        forward_logging(self)
        self._config = declare(self, MaskerNodeConfig)
        self._masker_config = declare(self, MaskerConfig)
        self._monitor = Monitor(self, {"mask_source": self._config.mask_source})
        # A single camera's figures are the node's.
        self._figures = {n: self._monitor.part(n) if n else self._monitor for n in self._names}
        self._source: MaskSource | None = None
        self._max_batch = self._config.max_batch or len(self._names)
        self._cameras: dict[str, MaskerCamera] = {}
        self._worker: MaskerWorker | None = None
        self._failure = self.create_guard_condition(self._check)
        if self._config.autostart:
            autostart(self)

    @property
    def _names(self) -> list[str]:
        return self._config.camera_names

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        return guarded(self, self._configure)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._worker = MaskerWorker(
            self._cameras,
            self._source,
            self._max_batch,
            self._config.max_wait_ms / 1e3,
            self._monitor,
            self._failure.trigger,
        )
        for camera in self._cameras.values():
            camera.listen(self._worker.queue)
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._source = None
        for camera in self._cameras.values():
            camera.close()
        self._cameras = {}
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._stop()
        return super().on_shutdown(state)

    def close(self) -> None:
        """Stop masking, once the batch under way is done.

        :raises SamgError: masking has failed, and it was not reported yet.
        """
        self._stop()
        self._check()

    def _configure(self) -> None:
        self._source = self._make_source()
        self._cameras = {
            name: MaskerCamera(self, name, self._config, self._figures[name])
            for name in self._names
        }

    def _make_source(self) -> MaskSource | None:
        kind = self._config.mask_source
        if kind != "samg":
            return None if kind == "topic" else UniformFrames(visible=kind == "none")
        # Only here: torch and the models are not needed for masks that come from elsewhere.
        from samg_ros.masking.masker import build_masker, load_references

        references = load_references(self._config.reference_names)
        masker = build_masker(references, self._masker_config)
        self._monitor.facts["device"] = str(masker.device)
        if masker.device.type == "cpu":
            self._max_batch = self._config.max_batch or 1
        # Warm up: the first call is the slow one.
        views = [(name, reference.views[0].image) for name, reference in references.items()]
        masker.mask_frames(views[: self._max_batch])
        return masker.mask_frames

    def _stop(self) -> None:
        for camera in self._cameras.values():
            camera.ignore()
        if self._worker is not None:
            self._worker.stop()

    def _check(self) -> None:
        if self._worker is not None:
            self._worker.check()


def main(args: list[str] | None = None) -> int:
    return run(MaskerNode, args)


if __name__ == "__main__":
    sys.exit(main())
