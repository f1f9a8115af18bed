"""The masker: camera frames in, masked frames, masks and overlays out."""

from __future__ import annotations

import sys
import time

import numpy as np
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from sensor_msgs.msg import Image

from samg_ros.errors import ImageError
from samg_ros.masking.config import MaskerConfig
from samg_ros.masking.frames import FrameMask, MaskSource, UniformFrames, whole_mask
from samg_ros.masking.lost import LostFrames
from samg_ros.masking.overlay import draw_overlay
from samg_ros.nodes.masker_config import MaskerNodeConfig
from samg_ros.ros import qos
from samg_ros.ros.diagnostics import Monitor
from samg_ros.ros.images import from_mask, from_rgb, to_mask, to_rgb
from samg_ros.ros.parameters import declare
from samg_ros.ros.runtime import autostart, forward_logging, guarded, run
from samg_ros.ros.stamps import to_ns

# Frames that wait for a mask of the same stamp (mask_source:=topic), newest last.
WAITING_FRAMES = 8


class MaskerNode(LifecycleNode):
    """Lifecycle node ``masker``: loads and warms up in configure, works while active."""

    def __init__(self) -> None:
        super().__init__("masker")
        forward_logging(self)
        self._config = declare(self, MaskerNodeConfig)
        self._masker_config = declare(self, MaskerConfig)
        self._source: MaskSource | None = None
        self._monitor = Monitor(self, {"mask_source": self._config.mask_source})
        self._inputs: list = []
        if self._config.autostart:
            autostart(self)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        return guarded(self, self._configure)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._last_stamp = -1
        self._last_output: tuple[Image, Image] | None = None
        self._frames: dict[int, Image] = {}
        self._masks: dict[int, Image] = {}
        self._inputs = [self.create_subscription(Image, "image", self._on_image, qos.CAMERA_IN)]
        if self._config.mask_source == "topic":
            self._inputs.append(
                self.create_subscription(Image, "mask_in", self._on_mask, qos.CAMERA_IN)
            )
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        for subscription in self._inputs:
            self.destroy_subscription(subscription)
        self._inputs = []
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._source = None
        for publisher in (self._image_out, self._mask_out, self._overlay_out):
            self.destroy_publisher(publisher)
        return TransitionCallbackReturn.SUCCESS

    def _configure(self) -> None:
        self._source = self._make_source()
        self._lost = LostFrames(self._config.on_lost)
        self._image_out = self.create_publisher(Image, "~/image", qos.IMAGE_OUT)
        self._mask_out = self.create_publisher(Image, "~/mask", qos.IMAGE_OUT)
        self._overlay_out = self.create_publisher(Image, "~/overlay", qos.IMAGE_OUT)

    def _make_source(self) -> MaskSource | None:
        kind = self._config.mask_source
        if kind != "samg":
            return None if kind == "topic" else UniformFrames(visible=kind == "none")
        # Only here: torch and the models are not needed for masks that come from elsewhere.
        from samg_ros.masking.build import build_many, load_references

        references = load_references({"": self._config.reference})
        masker = build_many(references, self._masker_config)
        self._monitor.facts["device"] = str(masker.device)
        # Warm up: the first call is the slow one.
        masker([(camera, r.views[0].image) for camera, r in references.items()])
        return masker

    def _on_image(self, msg: Image) -> None:
        stamp = to_ns(msg.header.stamp)
        if self._is_answered(stamp) and self._last_output is not None:
            self._publish(*self._last_output)  # sent again: the answer may have been lost
            return
        if self._config.mask_source != "topic":
            self._handle(msg, None)
            return
        self._frames[stamp] = msg
        self._pair(stamp)

    def _on_mask(self, msg: Image) -> None:
        stamp = to_ns(msg.header.stamp)
        if self._is_answered(stamp):
            return  # sent again with its frame
        self._masks[stamp] = msg
        self._pair(stamp)

    def _is_answered(self, stamp: int) -> bool:
        """Whether this is the last frame again. Zero is the stamp of cameras that give none."""
        return stamp != 0 and stamp == self._last_stamp

    def _pair(self, stamp: int) -> None:
        """Handle the frame and the mask of one stamp once both are here."""
        if stamp in self._frames and stamp in self._masks:
            self._handle(self._frames.pop(stamp), self._masks.pop(stamp))
        for waiting in (self._frames, self._masks):
            while len(waiting) > WAITING_FRAMES:
                waiting.pop(next(iter(waiting)))
                self._monitor.counts["unpaired"] += 1

    def _handle(self, msg: Image, mask_msg: Image | None) -> None:
        began = time.monotonic()
        try:
            rgb = to_rgb(msg)
            result = self._mask(rgb, mask_msg)
        except ImageError as error:
            self._monitor.count_error("refused_images", f"frame refused: {error}")
            return
        mask = self._lost(result.mask, result.lost)
        image_out = from_rgb(rgb * mask[..., None], msg.header)
        mask_out = from_mask(mask, msg.header)
        self._publish(image_out, mask_out)
        self._last_stamp, self._last_output = to_ns(msg.header.stamp), (image_out, mask_out)
        if self._overlay_out.get_subscription_count():
            overlay = draw_overlay(rgb, mask, result.points, result.labels)
            self._overlay_out.publish(from_rgb(overlay, msg.header))
        self._report(result, time.monotonic() - began)

    def _mask(self, rgb: np.ndarray, mask_msg: Image | None) -> FrameMask:
        if mask_msg is None:
            assert self._source is not None  # set in configure, before any subscription exists
            return self._source([("", rgb)])[0]
        mask = to_mask(mask_msg)
        if mask.shape != rgb.shape[:2]:
            raise ImageError(f"the mask is {mask.shape}, its frame {rgb.shape[:2]}")
        return whole_mask(mask)

    def _publish(self, image: Image, mask: Image) -> None:
        self._image_out.publish(image)
        self._mask_out.publish(mask)

    def _report(self, result: FrameMask, seconds: float) -> None:
        self._monitor.frame(seconds)
        self._monitor.counts[result.status] += 1
        self._monitor.facts["score"] = f"{result.score:.3f}"
        self._monitor.facts.update(result.targets)
        lost = [name for name, status in result.targets.items() if status == "lost"]
        self._monitor.warning = f"lost: {', '.join(lost)}" if lost else ""


def main(args: list[str] | None = None) -> int:
    return run(MaskerNode, args)


if __name__ == "__main__":
    sys.exit(main())
