"""The recorder: any topics, as they were sent, into a rosbag2 MCAP bag."""

from __future__ import annotations

import importlib
import sys
import time
from datetime import datetime
from pathlib import Path

from rclpy.clock import Clock, ClockType
from rclpy.exceptions import InvalidTopicNameException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo
from rclpy.validate_topic_name import validate_topic_name
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)

from samg_ros.errors import BagError, ConfigError
from samg_ros.io.bags import BagThread, BagWriter
from samg_ros.nodes.config import RecorderConfig
from samg_ros.ros.diagnostics import NOT_RECORDING, Monitor
from samg_ros.ros.parameters import declare
from samg_ros.ros.runtime import run

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # as Humble calls it
    from rclpy.qos_event import SubscriptionEventCallbacks

DISCOVERY_PERIOD_S = 0.2
QUEUE_DEPTH = 100
MB = 10**6
# ROS keeps these for itself; recording every topic leaves them out, as `ros2 bag record` does.
INTERNAL_TOPICS = ("/rosout", "/parameter_events")


class RecorderNode(Node):
    """Node ``recorder``: subscribes to topics as they appear and writes raw messages."""

    def __init__(self) -> None:
        super().__init__("recorder")
        self._config = declare(self, RecorderConfig)
        self._wanted = {self._resolved(topic) for topic in self._config.topics}
        self._topics: dict[str, Subscription] = {}
        self._refused: set[str] = set()
        path = bag_path(self._config.bag)
        self._monitor = Monitor(self, {"bag": str(path)})
        self._bag: BagThread | None = self._open(path)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(DISCOVERY_PERIOD_S, self._look, clock=steady)
        self.get_logger().info(f"recording to {path}")

    def close(self) -> None:
        """Finish the bag: index and metadata. :raises BagError: something could not be written."""
        bag, self._bag = self._bag, None
        if bag is None:
            return
        try:
            bag.close()
        except BagError as error:
            left = bag.waiting
            raise BagError(f"{error}; {left} messages are lost" if left else str(error)) from error

    def _open(self, path: Path) -> BagThread:
        config = self._config
        return BagThread(
            BagWriter(path, compress=config.compression == "zstd"),
            max_cache=config.max_cache_mb * MB,
            flush_s=config.flush_s,
            min_free=config.min_free_mb * MB,
            written=self._monitor.frame,
        )

    def _resolved(self, topic: str) -> str:
        try:
            validate_topic_name(topic)
        except InvalidTopicNameException as error:
            why = str(error).splitlines()[0].rstrip(":")  # what follows points into the name
            raise ConfigError(f"topics: {topic!r} cannot be one: {why}") from error
        return self.resolve_topic_name(topic)

    def _look(self) -> None:
        if self._bag is not None and self._bag.error is not None:
            self._stop()
        if self._bag is not None:
            self._discover()

    def _discover(self) -> None:
        for topic, types in self.get_topic_names_and_types():
            publishers = self._is_wanted(topic) and self.get_publishers_info_by_topic(topic)
            if not publishers:
                continue
            if topic not in self._topics:
                self._add(topic, types[0], publishers)
            elif asks_too_much(self._topics[topic].qos_profile, publishers):
                self.destroy_subscription(self._topics[topic])
                self._subscribe(topic, types[0], publishers)

    def _is_wanted(self, topic: str) -> bool:
        if topic in self._refused:
            return False
        return topic in self._wanted if self._wanted else topic not in INTERNAL_TOPICS

    def _add(self, topic: str, msgtype: str, publishers: list[TopicEndpointInfo]) -> None:
        assert self._bag is not None
        try:
            find_message_class(msgtype)
            self._bag.add_topic(topic, msgtype, [as_bag_qos(p.qos_profile) for p in publishers])
        except BagError as error:
            self._refused.add(topic)
            self._monitor.count_error("refused_topics", f"{topic} is not recorded: {error}")
            return
        self._subscribe(topic, msgtype, publishers)

    def _subscribe(self, topic: str, msgtype: str, publishers: list[TopicEndpointInfo]) -> None:
        self._topics[topic] = self.create_subscription(
            find_message_class(msgtype),
            topic,
            self._monitor.surviving(lambda data: self._on_message(topic, data)),
            matching_qos(publishers),
            raw=True,
            event_callbacks=SubscriptionEventCallbacks(
                message_lost=lambda lost: self._on_lost(topic, lost.total_count_change)
            ),
        )

    def _on_message(self, topic: str, data: bytes) -> None:
        if self._bag is None or self._bag.error is not None:
            return
        if not self._bag.write(topic, time.time_ns(), data):
            self._on_lost(topic, 1)

    def _on_lost(self, topic: str, messages: int) -> None:
        if self._bag is None:
            return
        self._monitor.warning = "the bag lacks messages: lost_messages counts them"
        text = f"{topic}: messages are lost: the disk, the machine or the network cannot keep up"
        self._monitor.count_error("lost_messages", text, messages)

    def _stop(self) -> None:
        """Stop recording but keep what there is; the robot goes on."""
        try:
            self.close()
        except BagError as error:
            self._monitor.warning = f"{NOT_RECORDING}: {error}"
            self.get_logger().error(f"recording stopped: {error}; the bag up to here is kept")


def bag_path(given: str) -> Path:
    """The bag's folder: the given one, or a new one by date and time under ``runs``."""
    name = given or f"runs/bag_{datetime.now():%Y%m%d_%H%M%S}"
    return Path(name).expanduser()


def find_message_class(msgtype: str) -> type:
    """``sensor_msgs/msg/Image`` to its Python class. :raises BagError: not installed."""
    package, _, name = msgtype.split("/")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), name)
    except (ImportError, AttributeError) as error:
        raise BagError(f"message type {msgtype} is not installed here") from error


def matching_qos(publishers: list[TopicEndpointInfo]) -> QoSProfile:
    """The strictest profile that every publisher can serve."""
    profiles = [publisher.qos_profile for publisher in publishers]
    reliable = all(p.reliability == ReliabilityPolicy.RELIABLE for p in profiles)
    latched = all(p.durability == DurabilityPolicy.TRANSIENT_LOCAL for p in profiles)
    return QoSProfile(
        depth=QUEUE_DEPTH,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def asks_too_much(asked: QoSProfile, publishers: list[TopicEndpointInfo]) -> bool:
    """Whether a publisher has come since that cannot serve what was asked."""
    served = matching_qos(publishers)
    return (
        asked.reliability == ReliabilityPolicy.RELIABLE != served.reliability
        or asked.durability == DurabilityPolicy.TRANSIENT_LOCAL != served.durability
    )


def as_bag_qos(profile: QoSProfile) -> Qos:
    """A profile as rosbag2's metadata keeps it."""
    forever = QosTime(9223372036, 854775807)
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=max(profile.depth, 1),
        reliability=QosReliability(int(profile.reliability)),
        durability=QosDurability(int(profile.durability)),
        deadline=forever,
        lifespan=forever,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=forever,
        avoid_ros_namespace_conventions=False,
    )


def main(args: list[str] | None = None) -> int:
    return run(RecorderNode, args)


if __name__ == "__main__":
    sys.exit(main())
