"""The quality-of-service profiles of this package; one place for each."""

from __future__ import annotations

from builtin_interfaces.msg import Time
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy


def _profile(reliability: ReliabilityPolicy, depth: int) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=reliability,
        durability=DurabilityPolicy.VOLATILE,
    )


# A camera is never asked for reliability; of several waiting frames only the newest counts.
CAMERA_IN = _profile(ReliabilityPolicy.BEST_EFFORT, 1)
# Offered reliably, images serve best-effort and reliable subscribers (a recorder) alike.
IMAGE_OUT = _profile(ReliabilityPolicy.RELIABLE, 5)
JOINT_STATES_IN = _profile(ReliabilityPolicy.BEST_EFFORT, 50)
COMMAND = _profile(ReliabilityPolicy.RELIABLE, 1)
STATUS = _profile(ReliabilityPolicy.RELIABLE, 50)


NS_PER_S = 1_000_000_000


def to_ns(stamp: Time) -> int:
    return stamp.sec * NS_PER_S + stamp.nanosec


def from_ns(stamp_ns: int) -> Time:
    seconds, nanoseconds = divmod(stamp_ns, NS_PER_S)
    return Time(sec=seconds, nanosec=nanoseconds)
