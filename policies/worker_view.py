"""What a worker of vectorised scenes makes: a task, and the policy's picture of it.

Masking and shrinking where a picture is rendered leaves less to copy and runs N-fold. Keep this
module's imports small: every worker process loads them.
"""

from __future__ import annotations

import numpy as np

from policies.mask_source import make_mask_source
from policies.preprocessing import area_resize
from sim_bridge.scene import Scene, SceneFrame
from sim_bridge.task import make_task


class WorkerView:
    """A :class:`sim_bridge.vector.View` of one mask source at one size.

    :param mask: name of a mask source. :param size: side of the picture in pixels, at most the
        camera's.
    :raises ConfigError: unknown mask source.
    """

    def __init__(self, mask: str, size: int) -> None:
        self._source = make_mask_source(mask)
        self._size = size

    def reset(self, seed: int) -> None:
        """Begin the episode of ``seed``."""
        self._source.reset(seed)

    def __call__(self, frame: SceneFrame) -> np.ndarray:
        """:return: uint8 [``size``, ``size``, 3]. :raises ImageError: the camera is smaller."""
        return area_resize(self._source(frame), self._size)


def plain_scene(task: str, camera_size: int) -> Scene:
    """A task before its own background.

    :param camera_size: side of the camera's picture in pixels.
    :raises ConfigError: unknown task. :raises SimulationError: the simulator cannot start.
    """
    return Scene(make_task(task, height=camera_size, width=camera_size))
