"""The policy: masked frames and joint states in, joint commands out."""

from __future__ import annotations

import sys
import time

import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from sensor_msgs.msg import Image, JointState

from policies.base import Observation
from policies.fit import Robot, check_fit, picture_doubts
from policies.node.policy_config import PolicyNodeConfig
from policies.preprocessing import centre_square
from policies.registry import load_policy
from policies.safety import CommandGuard, SafetyLimits
from samg_ros.errors import ConfigError, ImageError, UnsafeActionError
from samg_ros.robot import JointCommand
from samg_ros.ros import qos
from samg_ros.ros.diagnostics import Monitor
from samg_ros.ros.images import is_same, to_rgb
from samg_ros.ros.joints import OUTPUTS, JointHistory, positions_of
from samg_ros.ros.parameters import declare
from samg_ros.ros.qos import NS_PER_S, to_ns
from samg_ros.ros.runtime import autostart, forward_logging, guarded, run

LAST_COMMAND_S = 0.5  # how long a last command may take to reach those who listen
HOLDING = "holding: no usable frame"
LOST = "holding: every target is lost"


class PolicyNode(LifecycleNode):
    """Lifecycle node ``policy``. A command carries the stamp of the frame it answers, where its
    message has one for that.

    An action that is no number stops it: it holds until it is deactivated and activated again.
    Whatever ends its work leaves the robot with a command to hold.
    """

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
        c = self._config
        self._joints = JointHistory(c.max_frame_age_s + c.joint_tolerance_s, c.joint_tolerance_s)
        self._last_stamp = -1
        self._last_image: Image | None = None
        self._stopped = False
        self._lost_frames = 0
        self._monitor.warning = ""
        self._guard.reset()
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
        self._watchdog = self.create_timer(self._config.hold_period_s, self._watch, clock=steady)
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._leave()
        return super().on_deactivate(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._leave()
        return super().on_shutdown(state)

    def close(self) -> None:
        """Leave a robot that is driven with a command to hold."""
        self._leave()

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.destroy_publisher(self._command_out)
        return TransitionCallbackReturn.SUCCESS

    def _leave(self) -> None:
        """End what an activation began."""
        if not self._inputs:
            return
        for subscription in self._inputs:
            self.destroy_subscription(subscription)
        self.destroy_timer(self._watchdog)
        self._inputs = []
        if self._guard.last is not None:
            self._hold("")
            self._command_out.wait_for_all_acked(Duration(seconds=LAST_COMMAND_S))

    def _configure(self) -> None:
        c = self._config
        self._policy = load_policy(c.policy, c.task)
        spec = self._policy.spec
        robot = Robot(c.camera, c.mask, c.joints, c.command_joints, c.command_mode)
        check_fit(spec, robot, c.policy)
        limits = SafetyLimits(c.range_share, c.max_rate, c.new_stack_gap_s)
        self._guard = CommandGuard(spec, limits)
        blank = np.zeros((spec.image_size, spec.image_size, 3), np.uint8)
        joints = np.zeros(len(spec.joint_names), np.float32)
        # A warm up, since the first call is the slow one; and what it gives must be of use.
        self._guard(self._policy.act(Observation(blank, joints)), spec.control_dt_s, {})
        self._output = OUTPUTS[c.output]
        self._duration_s = c.trajectory_time_s or spec.control_dt_s
        self._command_out = self._output.publisher(self)

    def _on_joints(self, msg: JointState) -> None:
        try:
            positions = positions_of(msg, self._policy.spec.joint_names)
        except ConfigError as error:
            self._monitor.count_error("refused_joint_states", str(error))
            return
        self._joints.add(to_ns(msg.header.stamp), positions)

    def _on_image(self, msg: Image) -> None:
        began = time.monotonic()
        stamp = to_ns(msg.header.stamp)
        if self._guard.last is not None and self._last_image and is_same(msg, self._last_image):
            self._publish(self._guard.last)  # sent again: the answer was lost
            return
        if self._too_old(stamp):
            return
        joints = self._joints_at(stamp)
        if joints is None:
            return
        try:
            rgb = to_rgb(msg)
            if self._config.crop == "center":
                rgb = centre_square(rgb)
            if self._last_stamp < 0:
                self._tell_doubts(rgb, msg.header.frame_id)
            self._answer(rgb, joints, stamp)
        except ImageError as error:
            self._monitor.count_error("refused_images", f"frame refused: {error}")
            return
        except UnsafeActionError as error:
            self._stop(error, stamp)
        self._last_image = msg
        self._last_frame_at = time.monotonic()
        self._monitor.frame(self._last_frame_at - began)

    def _answer(self, rgb: np.ndarray, joints: np.ndarray, stamp: int) -> None:
        """Publish what the policy makes of a frame, or a hold where it may not act."""
        asked = self._config.max_lost_frames > 0  # looking takes a while of its own
        self._lost_frames = self._lost_frames + 1 if asked and not rgb.any() else 0
        self._begin_stack_after_gap(stamp)
        action = self._policy.act(Observation(rgb, joints))  # though held: its stack goes on
        gap_s = (stamp - self._last_stamp) / NS_PER_S
        is_lost = 0 < self._config.max_lost_frames <= self._lost_frames
        if self._stopped or is_lost:
            self._last_stamp = stamp
            self._hold("" if self._stopped else LOST)
            return
        measured = dict(zip(self._policy.spec.joint_names, joints.tolist(), strict=True))
        command = self._guard(action, gap_s, measured)
        if command.limited:
            self._monitor.count("limited_commands")
        self._last_stamp = stamp
        self._monitor.warning = ""
        self._publish(command.values)

    def _tell_doubts(self, rgb: np.ndarray, frame_id: str) -> None:
        """Once an activation: what looks as if another topic were wired."""
        for doubt in picture_doubts(self._policy.spec, rgb, frame_id):
            self.get_logger().warning(doubt)

    def _stop(self, error: UnsafeActionError, stamp: int) -> None:
        """Let nothing more of this policy out."""
        self._stopped = True
        self._last_stamp = stamp
        self._monitor.count("unsafe_actions")
        reason = f"stopped: {error}; deactivate and activate the node to go on"
        self.get_logger().error(reason)
        self._hold(reason)

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
        positions = self._joints.at(stamp)
        if positions is None:
            self._monitor.count_error(
                "frames_without_joints", "frame refused: no joint_states near its stamp"
            )
        return positions

    def _begin_stack_after_gap(self, stamp: int) -> None:
        """Frames that do not follow each other must not be stacked as if they did."""
        gap_s = (stamp - self._last_stamp) / NS_PER_S
        if self._last_stamp >= 0 and not 0 < gap_s <= self._config.new_stack_gap_s:
            self._policy.reset()
            self._guard.start_again()

    def _hold(self, why: str) -> None:
        """Keep the robot where it is. :param why: told until the policy acts again; empty leaves
        what is told."""
        self._monitor.warning = why or self._monitor.warning
        self._monitor.count("holds")
        values = self._guard.hold()
        if values is not None:
            self._publish(values)

    def _watch(self) -> None:
        """Hold when frames stop, and go on holding after a stop."""
        is_silent = time.monotonic() - self._last_frame_at > self._config.frame_timeout_s
        if self._last_stamp >= 0 and (is_silent or self._stopped):
            self._hold("" if self._stopped else HOLDING)

    def _publish(self, values: np.ndarray) -> None:
        spec = self._policy.spec
        command = JointCommand(spec.actuated_joints, spec.command_mode, values, self._last_stamp)
        self._command_out.publish(self._output.message(command, self._duration_s))


def main(args: list[str] | None = None) -> int:
    return run(PolicyNode, args)


if __name__ == "__main__":
    sys.exit(main())
