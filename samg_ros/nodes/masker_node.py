"""The masker: camera frames in, masked frames, masks and overlays out."""

from __future__ import annotations

import sys

from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from samg_ros.masking.config import MaskerConfig
from samg_ros.masking.result import MaskSource, UniformFrames
from samg_ros.nodes.masker_camera import MaskerCamera
from samg_ros.nodes.masker_config import MaskerNodeConfig
from samg_ros.nodes.masker_worker import MaskerWorker
from samg_ros.ros.diagnostics import Monitor
from samg_ros.ros.parameters import declare
from samg_ros.ros.runtime import autostart, forward_logging, guarded, run


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

        :raises SamgError: masking has failed, and nobody was told yet.
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
