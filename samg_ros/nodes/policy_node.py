"""The policy: masked frames and joint states in, joint commands out."""

from __future__ import annotations

import sys
import time
from collections import OrderedDict

import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from sensor_msgs.msg import Image, JointState

from policies.base import Observation
from policies.registry import load_policy
from samg_ros.commands import JointCommand, action_to_command
from samg_ros.errors import ConfigError, ImageError
from samg_ros.nodes.policy_config import PolicyNodeConfig
from samg_ros.ros import qos
from samg_ros.ros.diagnostics import Monitor
from samg_ros.ros.images import to_rgb
from samg_ros.ros.joints import command_to_msg, positions_of
from samg_ros.ros.parameters import declare
from samg_ros.ros.runtime import autostart, forward_logging, guarded, run
from samg_ros.ros.stamps import NS_PER_S, to_ns

KEPT_JOINT_STATES = 200
HOLD_PERIOD_S = 0.5


class PolicyNode(LifecycleNode):
    """Lifecycle node ``policy``. A command carries the stamp of the frame it answers."""

    def __init__(self) -> None:
        super().__init__("policy")
        forward_logging(self)
        self._config = declare(self, PolicyNodeConfig)
        self._monitor = Monitor(self, {"policy": self._config.policy})
        self._inputs: list = []
        if self._config.autostart:
            autostart(self)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        return guarded(self, self._configure)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._joints: OrderedDict[int, np.ndarray] = OrderedDict()
        self._last_stamp = -1
        self._last_command: JointState | None = None
        self._last_frame_at = time.monotonic()
        self._policy.reset()
        # The executor serves them in this order: a frame must find its joints, if both are here.
        self._inputs = [
            self.create_subscription(
                JointState, "joint_states", self._on_joints, qos.JOINT_STATES_IN
            ),
            self.create_subscription(Image, "image", self._on_image, qos.CAMERA_IN),
        ]
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._watchdog = self.create_timer(HOLD_PERIOD_S, self._watch, clock=steady)
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        for subscription in self._inputs:
            self.destroy_subscription(subscription)
        self.destroy_timer(self._watchdog)
        self._inputs = []
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.destroy_publisher(self._command_out)
        return TransitionCallbackReturn.SUCCESS

    def _configure(self) -> None:
        self._policy = load_policy(self._config.policy, self._config.task)
        spec = self._policy.spec
        blank = np.zeros((spec.image_size, spec.image_size, 3), np.uint8)
        joints = np.zeros(len(spec.joint_names), np.float32)
        self._policy.act(Observation(blank, joints))  # warm up: the first call is the slow one
        self._command_out = self.create_publisher(JointState, "joint_command", qos.COMMAND)

    def _on_joints(self, msg: JointState) -> None:
        try:
            positions = positions_of(msg, self._policy.spec.joint_names)
        except ConfigError as error:
            self._monitor.count_error("refused_joint_states", str(error))
            return
        self._joints[to_ns(msg.header.stamp)] = positions
        while len(self._joints) > KEPT_JOINT_STATES:
            self._joints.popitem(last=False)

    def _on_image(self, msg: Image) -> None:
        began = time.monotonic()
        stamp = to_ns(msg.header.stamp)
        if stamp == self._last_stamp and self._last_command is not None:
            self._command_out.publish(self._last_command)  # sent again: the answer was lost
            return
        if self._too_old(stamp):
            return
        joints = self._joints_at(stamp)
        if joints is None:
            return
        try:
            rgb = to_rgb(msg)
        except ImageError as error:
            self._monitor.count_error("refused_images", f"frame refused: {error}")
            return
        self._begin_stack_after_gap(stamp)
        action = self._policy.act(Observation(rgb, joints))
        self._send(action, stamp)
        self._last_frame_at = time.monotonic()
        self._monitor.warning = ""
        self._monitor.frame(self._last_frame_at - began)

    def _too_old(self, stamp: int) -> bool:
        age_s = (self.get_clock().now().nanoseconds - stamp) / NS_PER_S
        if age_s > self._config.max_frame_age_s:
            self._monitor.count_error(
                "stale_frames",
                f"frame refused: it is {age_s:.2f} s old, more than max_frame_age_s allows",
            )
            return True
        return False

    def _joints_at(self, stamp: int) -> np.ndarray | None:
        """The joint positions nearest to a stamp, if any are near enough."""
        if stamp in self._joints:
            return self._joints[stamp]
        nearest = min(self._joints, key=lambda other: abs(other - stamp), default=None)
        tolerance_ns = self._config.joint_tolerance_s * NS_PER_S
        if nearest is None or abs(nearest - stamp) > tolerance_ns:
            self._monitor.count_error(
                "frames_without_joints", "frame refused: no joint_states near its stamp"
            )
            return None
        return self._joints[nearest]

    def _begin_stack_after_gap(self, stamp: int) -> None:
        """Frames that do not follow each other must not be stacked as if they did."""
        gap_s = (stamp - self._last_stamp) / NS_PER_S
        if self._last_stamp >= 0 and not 0 < gap_s <= self._config.new_stack_gap_s:
            self._policy.reset()

    def _send(self, action: np.ndarray, stamp: int) -> None:
        spec = self._policy.spec
        values = action_to_command(action, spec.command_low, spec.command_high)
        command = JointCommand(spec.actuated_joints, spec.command_mode, values, stamp)
        self._last_stamp, self._last_command = stamp, command_to_msg(command)
        self._command_out.publish(self._last_command)

    def _watch(self) -> None:
        """Hold when frames stop: the last position again, or no velocity and no effort."""
        silent_s = time.monotonic() - self._last_frame_at
        if silent_s <= self._config.frame_timeout_s or self._last_command is None:
            return
        self._monitor.warning = "holding: no usable frame"
        self._monitor.counts["holds"] += 1
        command = self._last_command
        if self._policy.spec.command_mode != "position":
            command = JointState(header=command.header, name=command.name)
            still = [0.0] * len(command.name)
            setattr(command, self._policy.spec.command_mode, still)
        self._command_out.publish(command)


def main(args: list[str] | None = None) -> int:
    return run(PolicyNode, args)


if __name__ == "__main__":
    sys.exit(main())
