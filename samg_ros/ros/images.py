"""Images between ROS messages and arrays: the one place where both worlds meet.

Messages are checked first, whoever sent them. On a machine with a sourced ROS 2 the distribution's
own ``cv_bridge`` converts; elsewhere numpy and OpenCV do, with the same result.
"""

from __future__ import annotations

import array
import importlib
import os
import sys
from functools import cache

import numpy as np
from sensor_msgs.msg import Image

from samg_ros import images
from samg_ros.images import ENCODINGS, Encoding, to_mask
from samg_ros.ros.qos import to_ns

# Encodings that are left to cv_bridge where there is one.
BRIDGED = ("rgb8", "bgr8", "rgba8", "bgra8", "mono8", "bayer")

__all__ = [
    "ENCODINGS",
    "Encoding",
    "from_depth",
    "from_mask",
    "from_rgb",
    "is_same",
    "to_mask",
    "to_rgb",
]


def to_rgb(msg: Image) -> np.ndarray:
    """A message of any encoding in :data:`ENCODINGS` as uint8 [H, W, 3] RGB, contiguous.

    Rows may be padded (``step``), 16-bit pixels of either endianness are scaled by 1/257.

    :raises ImageError: zero size, unknown encoding, a step too short, too little data.
    """
    encoding = images.check(msg)
    bridge = _cv_bridge()
    # cv_bridge has no colours for 8UC*, no name for the newer YUV, and clips 16 bits.
    if bridge is None or not msg.encoding.startswith(BRIDGED):
        return images.to_rgb(msg)
    # A packed copy: it takes the step for a whole number of pixels.
    packed = _message(images.view(msg, encoding), msg.encoding, msg.header)
    return np.ascontiguousarray(bridge.imgmsg_to_cv2(packed, "rgb8"))


def from_rgb(rgb: np.ndarray, header) -> Image:
    """uint8 [H, W, 3] RGB as an ``rgb8`` message with ``header`` (stamp and frame kept)."""
    return _message(rgb, "rgb8", header)


def from_mask(mask: np.ndarray, header) -> Image:
    """Bool [H, W] as a ``mono8`` message, 255 on the target."""
    return _message(mask.astype(np.uint8) * 255, "mono8", header)


def from_depth(depth: np.ndarray, header) -> Image:
    """Float32 [H, W] in m as a ``32FC1`` message; as in REP 117 infinity is out of range."""
    return _message(depth.astype("<f4", copy=False), "32FC1", header)


def is_same(msg: Image, before: Image) -> bool:
    """Whether a message is the one before, sent again. A stamp alone does not decide: a simulation
    that is started again begins with the same ones, and zero is that of cameras without."""
    stamp = to_ns(msg.header.stamp)
    return stamp != 0 and stamp == to_ns(before.header.stamp) and msg.data == before.data


def _message(pixels: np.ndarray, encoding: str, header) -> Image:
    msg = Image(header=header, encoding=encoding, is_bigendian=0)
    msg.height, msg.width = pixels.shape[:2]
    msg.step = pixels.nbytes // msg.height
    # An array.array is taken over as it is; a numpy array would be copied element by element.
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(pixels).data.cast("B"))
    msg.data = data
    return msg


@cache
def _cv_bridge():
    """The sourced distribution's cv_bridge, or None.

    The ``cv-bridge`` wheel is ROS 1's and converts wrongly, so a copy in site-packages of this
    very environment is not taken.
    """
    if not os.environ.get("ROS_DISTRO"):
        return None
    try:
        module = importlib.import_module("cv_bridge")
    except ImportError:
        return None
    if str(module.__file__).startswith(sys.prefix) and sys.prefix != sys.base_prefix:
        return None
    return module.CvBridge()
