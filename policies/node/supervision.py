"""The operator's side of the policy node: enable, e-stop, heartbeat, status, other drivers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from std_msgs.msg import Bool, Empty, String
from std_srvs.srv import SetBool

from policies.limits import UrdfLimits, read_urdf
from policies.node.permission import Answer, Permission
from policies.node.policy_config import PolicyNodeConfig
from samg_ros.errors import ConfigError
from samg_ros.ros import qos
from samg_ros.ros.diagnostics import Monitor, status_message

FROM_TOPIC = "topic"
"""The value of the parameter ``urdf`` that stands for ``robot_description``."""


class Supervision:
    """Keeps a :class:`Permission` up to date and publishes what it says.

    :param changed: called whenever an operator has forbidden motion, so that the robot is held at
        once, and whenever motion is allowed again.
    :param described: called with the limits of a description that came by topic; what it raises
        (:class:`ConfigError`) holds the robot.
    """

    def __init__(
        self,
        node: Node,
        config: PolicyNodeConfig,
        monitor: Monitor,
        changed: Callable[[], None],
        described: Callable[[dict[str, UrdfLimits]], None],
    ) -> None:
        self._node, self._config, self._monitor = node, config, monitor
        self._changed, self._described = changed, described
        self._heard_at = time.monotonic()
        self._told: tuple[str, bool] | None = None
        self.permission = Permission(config.start_enabled)
        self._status = node.create_publisher(DiagnosticStatus, "~/status", qos.LATCHED)
        node.create_service(SetBool, "~/enable", self._on_enable)
        node.create_service(SetBool, "~/disable", self._on_disable)
        node.create_service(SetBool, "~/e_stop", self._on_e_stop_call)
        node.create_subscription(Bool, "e_stop", self._on_e_stop, qos.RELIABLE_EVENT_IN)
        node.create_subscription(Bool, "e_stop", self._on_e_stop, qos.EVENT_IN)
        if config.heartbeat_timeout_s:
            node.create_subscription(Empty, "heartbeat", self._on_heartbeat, qos.EVENT_IN)
        if config.urdf == FROM_TOPIC:
            self.permission.hold("description", "holding: no robot_description has come yet")
            node.create_subscription(
                String,
                "robot_description",
                monitor.surviving(self._on_description),
                qos.LATCHED,
            )

    def watch(self, command_topic: str) -> None:
        """Check what only time shows, and report what is new."""
        timeout_s = self._config.heartbeat_timeout_s
        if timeout_s and time.monotonic() - self._heard_at > timeout_s:
            self.permission.hold("heartbeat", f"holding: no heartbeat for {timeout_s:g} s")
        self._look_for_others(command_topic)
        self.tell()

    def tell(self) -> None:
        """Publish the status where it has changed, and let the diagnostics know it."""
        permission = self.permission
        self._monitor.warning, self._monitor.is_error = permission.reason, permission.is_fatal
        now = permission.reason, permission.is_fatal
        if now == self._told:
            return
        self._told = now
        level = DiagnosticStatus.ERROR if permission.is_fatal else DiagnosticStatus.WARN
        if permission.may_move:
            level = DiagnosticStatus.OK
        state = "moving" if permission.may_move else "holding"
        values = {"state": state, "since_ns": self._node.get_clock().now().nanoseconds}
        message = status_message(
            self._node.get_fully_qualified_name(), level, permission.reason or state, values
        )
        self._status.publish(message)
        if permission.is_fatal:
            self._node.get_logger().error(permission.reason)
        else:
            self._node.get_logger().info(permission.reason or "the policy may move the robot")

    def _look_for_others(self, topic: str) -> None:
        """Two that command the same joints take turns at pulling them."""
        if self._config.allow_other_publishers:
            return
        me = self._node.get_name(), self._node.get_namespace()
        infos = self._node.get_publishers_info_by_topic(topic)
        others = [i for i in infos if (i.node_name, i.node_namespace) != me]
        if len(infos) - len(others) > 1:  # a second node of this name
            others = infos[1:]
        if not others:
            self.permission.clear("publishers")
            return
        first = f"{others[0].node_namespace.rstrip('/')}/{others[0].node_name}"
        self.permission.hold(
            "publishers",
            f"holding: {len(others)} other node publishes on {topic} too ({first}); end it, or "
            "set allow_other_publishers",
        )

    def _after(self, answer: Answer, response: SetBool.Response) -> SetBool.Response:
        self._changed()
        self.tell()
        response.success, response.message = answer.success, answer.message
        return response

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> Any:
        permission = self.permission
        return self._after(permission.enable() if request.data else permission.disable(), response)

    def _on_disable(self, request: SetBool.Request, response: SetBool.Response) -> Any:
        refused = Answer(False, "nothing is changed: ~/enable with true lets the robot move")
        return self._after(self.permission.disable() if request.data else refused, response)

    def _on_e_stop_call(self, request: SetBool.Request, response: SetBool.Response) -> Any:
        if not request.data:
            return self._after(self.permission.release(), response)
        self.permission.press()
        return self._after(Answer(True, "the e-stop is pressed"), response)

    def _on_e_stop(self, msg: Bool) -> None:
        """A true presses it; it is lifted by the service alone."""
        if msg.data and not self.permission.forbids("e_stop"):
            self.permission.press()
            self._changed()
            self.tell()

    def _on_heartbeat(self, _: Empty) -> None:
        self._heard_at = time.monotonic()
        self.permission.clear("heartbeat")

    def _on_description(self, msg: String) -> None:
        try:
            self._described(read_urdf(msg.data))
        except ConfigError as error:
            self.permission.hold("description", f"holding: {error}")
        else:
            self.permission.clear("description")
        self.tell()
