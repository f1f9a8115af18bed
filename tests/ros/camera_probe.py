"""Cameras on a stage, for the tests of one masker that serves several."""

from __future__ import annotations

from itertools import count

import numpy as np
from harness import MASKER, Stage
from messages import image, picture, with_stamp
from sensor_msgs.msg import Image

from samg_ros.ros import qos

RATE_HZ = 30.0
NAMES = ("left", "right", "top", "arm/wrist")
new_stamp = count(1_000_000_007, 20_000_000).__next__


class Camera:
    """A camera that publishes on a stage, and what the masker makes of its frames."""

    def __init__(self, stage: Stage, masker: str, name: str, frame: np.ndarray) -> None:
        self.name, self.frame, self.probe = name, frame, stage.probe
        self.status = f"{masker}/{name}"
        self.sent: list[int] = []
        self.spoil = lambda msg: None
        self.out = self.probe.create_publisher(Image, f"/{name}/image", qos.IMAGE_OUT)
        self.to_mask = self.probe.create_publisher(Image, f"/{name}/mask_in", qos.IMAGE_OUT)
        self.images = self.probe.listen(Image, f"/{masker}/{name}/image")
        self.masks = self.probe.listen(Image, f"/{masker}/{name}/mask")

    def send(self, stamp: int | None = None, frame: np.ndarray | None = None) -> int:
        """Publish a frame. :return: its stamp."""
        self.sent.append(new_stamp() if stamp is None else stamp)
        msg = image(self.frame if frame is None else frame, self.sent[-1], self.name)
        self.spoil(msg)
        self.out.publish(msg)
        return self.sent[-1]

    def start(self) -> None:
        """Publish at the camera's rate whenever the probe spins."""
        self._timer = self.probe.create_timer(1 / RATE_HZ, self.send)

    def stop(self) -> None:
        self.probe.destroy_timer(self._timer)

    def wait_for(self, number: int) -> None:
        """Wait until as many frames are answered."""

        def answered() -> bool:
            return min(len(self.images), len(self.masks)) >= number

        self.probe.wait_for(answered, f"{number} masked frames of {self.name}")

    def answer(self, stamp: int) -> tuple[Image, Image]:
        """Wait for the masked frame and the mask of a stamp."""

        def both() -> bool:
            return all(with_stamp(inbox, stamp) for inbox in (self.images, self.masks))

        self.probe.wait_for(both, f"{self.name} is answered")
        return with_stamp(self.images, stamp)[-1], with_stamp(self.masks, stamp)[-1]

    def connect(self) -> None:
        """Send frames until one is answered: from then on nothing gets lost unnoticed."""
        rounds = count()

        def answered() -> bool:
            if next(rounds) % 20 == 0:
                self.send()
            return bool(self.images and self.masks)

        self.probe.wait_for(answered, f"{self.name} is answered at all")

    def count(self, key: str) -> int:
        return self.probe.count(self.status, key)


def open_cameras(
    stage: Stage, module: str = MASKER, names: tuple[str, ...] = NAMES, kind: str = "", **more
) -> dict[str, Camera]:
    """A masker called ``masker`` for cameras on a stage."""
    stage.start("masker", module, {"cameras": list(names), **more}, kind=kind)
    return {
        name: Camera(stage, "masker", name, picture(seed=seed)) for seed, name in enumerate(names)
    }


def settled(stage: Stage, cameras: dict[str, Camera]) -> None:
    """Wait until diagnostics account for every frame received, and no more are on their way."""
    seen: list[list[int]] = [[]]

    def at_rest() -> bool:
        stage.probe.fresh_count("masker", "frames")
        ends = ("frames", "dropped", "refused_images", "repeated")
        ended = [sum(camera.count(end) for end in ends) for camera in cameras.values()]
        seen.append([camera.count("received") for camera in cameras.values()])
        return seen[-2] == seen[-1] == ended and min(ended) > 0

    stage.probe.wait_for(at_rest, "every frame is answered, dropped or refused")
