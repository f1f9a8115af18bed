"""The quality-of-service profiles of this package; one place for each."""

from __future__ import annotations

from builtin_interfaces.msg import Time
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy


def _profile(
    reliability: ReliabilityPolicy,
    depth: int,
    durability: DurabilityPolicy = DurabilityPolicy.VOLATILE,
) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=reliability,
        durability=durability,
    )


# A camera is never asked for reliability; of several waiting frames only the newest counts.
CAMERA_IN = _profile(ReliabilityPolicy.BEST_EFFORT, 1)
# Offered reliably, images serve best-effort and reliable subscribers (a recorder) alike.
IMAGE_OUT = _profile(ReliabilityPolicy.RELIABLE, 5)
JOINT_STATES_IN = _profile(ReliabilityPolicy.BEST_EFFORT, 50)
COMMAND = _profile(ReliabilityPolicy.RELIABLE, 1)
STATUS = _profile(ReliabilityPolicy.RELIABLE, 50)
# What a late subscriber has to know too: the last message is kept for it.
LATCHED = _profile(ReliabilityPolicy.RELIABLE, 1, DurabilityPolicy.TRANSIENT_LOCAL)
# An e-stop is heard from whoever offers it, by one of these or by both, and then reliably.
EVENT_IN = _profile(ReliabilityPolicy.BEST_EFFORT, 10)
RELIABLE_EVENT_IN = _profile(ReliabilityPolicy.RELIABLE, 10)


NS_PER_S = 1_000_000_000


def to_ns(stamp: Time) -> int:
    return stamp.sec * NS_PER_S + stamp.nanosec


def from_ns(stamp_ns: int) -> Time:
    seconds, nanoseconds = divmod(stamp_ns, NS_PER_S)
    return Time(sec=seconds, nanosec=nanoseconds)
