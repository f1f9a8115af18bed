"""One camera of the masker node: its topics, and what is remembered of its frames."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import Image

from samg_ros import images
from samg_ros.errors import ImageError
from samg_ros.io.contact_sheet import draw_overlay
from samg_ros.masking.result import LostFrames, MaskResult
from samg_ros.nodes.config import MaskerNodeConfig
from samg_ros.nodes.masker_queue import FrameQueue, Pairs
from samg_ros.ros import qos
from samg_ros.ros.diagnostics import Figures
from samg_ros.ros.images import from_mask, from_rgb, is_same, to_mask, to_rgb
from samg_ros.ros.qos import to_ns


@dataclass(frozen=True)
class Arrival:
    """A frame, its mask where masks come from a topic, and when both were here (monotonic, s)."""

    image: Image
    mask: Image | None
    at_s: float

    @property
    def stamp(self) -> int:
        return to_ns(self.image.header.stamp)


class MaskerCamera:
    """Takes a camera's frames to the queue, and publishes what comes of them.

    Two threads use it: the executor's receives, the worker's opens and answers.

    :param name: empty for the only camera of a node, whose topics have no name before them.
    """

    def __init__(self, node: Node, name: str, config: MaskerNodeConfig, figures: Figures) -> None:
        self.name = name
        self._node, self._figures = node, figures
        self._has_mask_topic = config.mask_source == "topic"
        self._lost = LostFrames(config.on_lost)
        camera = self._prefix = f"{name}/" if name else ""
        self._image_out = node.create_publisher(Image, f"~/{camera}image", qos.IMAGE_OUT)
        self._mask_out = node.create_publisher(Image, f"~/{camera}mask", qos.IMAGE_OUT)
        self._overlay_out = node.create_publisher(Image, f"~/{camera}overlay", qos.IMAGE_OUT)
        self._inputs: list = []
        self._lock = threading.Lock()  # for the next two
        self._asked: Arrival | None = None  # what was handed over last
        self._answer: tuple[Image, Image] | None = None  # to that

    def listen(self, queue: FrameQueue[Arrival]) -> None:
        """Subscribe, and hand frames over to a queue from now on."""
        self._queue, self._pairs = queue, Pairs[Image]()
        self._asked = self._answer = None
        node, camera = self._node, self._prefix
        on_image = self._figures.surviving(self._on_image)
        on_mask = self._figures.surviving(self._on_mask)
        self._inputs = [node.create_subscription(Image, f"{camera}image", on_image, qos.CAMERA_IN)]
        if self._has_mask_topic:
            self._inputs.append(
                node.create_subscription(Image, f"{camera}mask_in", on_mask, qos.CAMERA_IN)
            )

    def ignore(self) -> None:
        """Listen no more."""
        for subscription in self._inputs:
            self._node.destroy_subscription(subscription)
        self._inputs = []

    def close(self) -> None:
        """Publish no more."""
        for publisher in (self._image_out, self._mask_out, self._overlay_out):
            self._node.destroy_publisher(publisher)

    def open(self, arrival: Arrival) -> tuple[np.ndarray, MaskResult | None]:
        """A frame's pixels, uint8 [H, W, 3] RGB, and its mask if that came with it.

        :raises ImageError: one of them is malformed, or they differ in size.
        """
        rgb = to_rgb(arrival.image)
        if arrival.mask is None:
            return rgb, None
        mask = to_mask(arrival.mask)
        if mask.shape != rgb.shape[:2]:
            raise ImageError(f"the mask is {mask.shape}, its frame {rgb.shape[:2]}")
        return rgb, MaskResult.given(rgb, mask)

    def refuse(self, arrival: Arrival, error: ImageError) -> None:
        """Count a frame that cannot be masked; sent again, it is tried again."""
        self._figures.count_error("refused_images", f"frame refused: {error}")
        with self._lock:
            if self._asked is arrival:
                self._asked = None

    def drop(self) -> None:
        """Count a frame that nobody will mask, because a newer one is here or masking ends."""
        self._figures.count("dropped")

    def answer(self, arrival: Arrival, rgb: np.ndarray, found: MaskResult) -> None:
        """Publish what was found in a frame, under the frame's own header."""
        header = arrival.image.header
        mask = self._lost(found.mask, found.lost)
        image_out, mask_out = from_rgb(images.masked(rgb, mask), header), from_mask(mask, header)
        with self._lock:
            if self._asked is arrival:
                self._answer = image_out, mask_out
        self._publish(image_out, mask_out)
        if self._overlay_out.get_subscription_count():
            prompts = found.points.reshape(-1, 2), found.labels.reshape(-1)
            overlay = draw_overlay(rgb, mask, *prompts)
            self._overlay_out.publish(from_rgb(overlay, header))
        self._report(found, time.monotonic() - arrival.at_s)

    def _on_image(self, msg: Image) -> None:
        self._figures.count("received")
        stamp = to_ns(msg.header.stamp)
        asked = self._asked_last()
        if asked and is_same(msg, asked.image):
            self._answer_again()
            return
        try:
            images.check(msg)  # here, lest it take the place of a good frame that waits
        except ImageError as error:
            self._figures.count_error("refused_images", f"frame refused: {error}")
            return
        if not self._has_mask_topic:
            self._hand_over(msg, None)
        elif pair := self._pairs.add_frame(stamp, msg):
            self._hand_over(*pair)
        self._give_up_unpaired()

    def _on_mask(self, msg: Image) -> None:
        stamp = to_ns(msg.header.stamp)
        asked = self._asked_last()
        if asked and asked.mask and is_same(msg, asked.mask):
            return  # sent again with its frame
        if pair := self._pairs.add_mask(stamp, msg):
            self._hand_over(*pair)
        self._give_up_unpaired()

    def _asked_last(self) -> Arrival | None:
        with self._lock:
            return self._asked

    def _answer_again(self) -> None:
        """Publish the answer anew, as it may have been lost; without one yet, it will come."""
        self._figures.count("repeated")
        with self._lock:
            answer = self._answer
        if answer is not None:
            self._publish(*answer)

    def _hand_over(self, image: Image, mask: Image | None) -> None:
        arrival = Arrival(image, mask, time.monotonic())
        with self._lock:
            self._asked, self._answer = arrival, None
        if self._queue.put(self.name, arrival):
            self.drop()

    def _give_up_unpaired(self) -> None:
        for _ in range(self._pairs.give_up()):
            self._figures.count("unpaired")

    def _publish(self, image: Image, mask: Image) -> None:
        self._image_out.publish(image)
        self._mask_out.publish(mask)

    def _report(self, found: MaskResult, latency_s: float) -> None:
        self._figures.count(found.status)
        statuses = {name: target.status for name, target in found.targets.items()}
        lost = [name for name, status in statuses.items() if status == "lost"]
        facts = {"score": f"{found.score:.3f}", "status": found.status, **statuses}
        self._figures.tell(facts, f"lost: {', '.join(lost)}" if lost else "")
        self._figures.frame(latency_s)
