"""The quality-of-service profiles of this package; one place for each."""

from __future__ import annotations

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
