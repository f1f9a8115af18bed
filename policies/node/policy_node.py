"""The policy: masked frames and joint states in, joint commands out."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image, JointState

from policies.base import Observation
from policies.fit import Robot, check_fit, picture_doubts
from policies.limits import Trust, UrdfLimits, limits_of, load_urdf
from policies.node.permission import STOPPED
from policies.node.policy_config import PolicyNodeConfig
from policies.node.supervision import FROM_TOPIC, Supervision
from policies.preprocessing import centre_square
from policies.registry import load_policy
from policies.safety import CommandGuard
from samg_ros.errors import ConfigError, ImageError, ImplausibleStateError, UnsafeActionError
from samg_ros.robot import JointCommand
from samg_ros.ros import qos
from samg_ros.ros.diagnostics import Monitor
from samg_ros.ros.images import is_same, to_rgb
from samg_ros.ros.joints import OUTPUTS, JointHistory
from samg_ros.ros.parameters import declare
from samg_ros.ros.qos import NS_PER_S, to_ns
from samg_ros.ros.runtime import autostart, forward_logging, guarded, run

LAST_COMMAND_S = 0.5  # how long a last command may take to reach those who listen
HOLDING = "holding: no usable frame"
NO_JOINTS = "holding: no joint states"
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
        self._supervision = Supervision(
            self, self._config, self._monitor, self._on_permission, self._limit
        )
        self._permission = self._supervision.permission
        self._inputs: list = []
        self.add_on_set_parameters_callback(self._on_parameters)
        if self._config.autostart:
            autostart(self)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        return guarded(self, self._configure)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        c = self._config
        span_s = c.max_frame_age_s + c.joint_tolerance_s
        self._joints = JointHistory(self._measured_names(), span_s, c.joint_tolerance_s)
        self._last_stamp = -1
        self._last_image: Image | None = None
        self._holds = False
        self._lost_frames = 0
        for cause in (STOPPED, "frames", "joints", "lost", "state"):
            self._permission.clear(cause)
        self._guard.reset()
        self._last_frame_at = self._last_joints_at = time.monotonic()
        self._policy.reset()
        # The executor serves them in this order: a frame must find its joints, if both are here.
        on_joints = self._monitor.surviving(self._on_joints)
        on_image = self._monitor.surviving(self._on_image)
        self._inputs = [
            self.create_subscription(JointState, "joint_states", on_joints, qos.JOINT_STATES_IN),
            self.create_subscription(Image, "image", on_image, qos.CAMERA_IN),
        ]
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        watch = self._monitor.surviving(self._watch)
        self._watchdog = self.create_timer(c.hold_period_s, watch, clock=steady)
        self._supervision.tell()
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
        if self._guard.last is not None and not self._permission.is_silent:
            self._hold()
            self._command_out.wait_for_all_acked(Duration(seconds=LAST_COMMAND_S))

    def _configure(self) -> None:
        c = self._config
        self._policy = load_policy(c.policy, c.task)
        self._spec = spec = self._policy.spec
        robot = Robot(c.camera, c.mask, c.joints, c.command_joints, c.command_mode)
        check_fit(spec, robot, c.policy)
        if c.output == "joint_trajectory" and spec.command_mode != "position":
            raise ConfigError(
                f"a joint_trajectory_controller takes positions; {c.policy!r} commands "
                f"{spec.command_mode}: choose another output"
            )
        names = c.command_joints or spec.actuated_joints
        self._order = [spec.actuated_joints.index(name) for name in names]
        self._ordered_names = tuple(names)
        self._limit(load_urdf(Path(c.urdf)) if c.urdf not in ("", FROM_TOPIC) else {})
        blank = np.zeros((spec.image_size, spec.image_size, 3), np.uint8)
        joints = np.zeros(len(spec.joint_names), np.float32)
        # A warm up, since the first call is the slow one; and what it gives must be of use.
        self._guard.check(self._policy.act(Observation(blank, joints)))
        self._output = OUTPUTS[c.output]
        self._duration_s = c.trajectory_time_s or spec.control_dt_s
        self._command_out = self._output.publisher(self)

    def _measured_names(self) -> list[str]:
        """The joints whose positions are needed: what the policy sees, and what it starts from."""
        seen, driven = self._spec.joint_names, self._spec.actuated_joints
        starts = driven if self._spec.command_mode == "position" else ()
        return list(dict.fromkeys([*seen, *starts]))

    def _limit(self, urdf: dict[str, UrdfLimits]) -> None:
        """What may be commanded from now on. :raises ConfigError: nothing may."""
        c = self._config
        trust = Trust(c.range_share, c.max_rate, c.max_acceleration, c.reach_tolerance)
        self._guard = CommandGuard(
            self._spec, limits_of(self._spec, trust, urdf), c.new_stack_gap_s
        )
        self._guard.speed_scale = self.get_parameter("speed_scale").value

    def _on_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        """Only ``speed_scale`` is not read-only; its range is its descriptor's."""
        for parameter in parameters:
            if parameter.name == "speed_scale" and hasattr(self, "_guard"):
                self._guard.speed_scale = parameter.value
        return SetParametersResult(successful=True)

    def _on_joints(self, msg: JointState) -> None:
        stamp = to_ns(msg.header.stamp)
        if self._config.joint_stamps == "arrival":
            stamp = self.get_clock().now().nanoseconds
        elif not stamp:
            self._refuse_joints(
                "joint_states have stamps of zero: have their publisher stamp them, or set "
                "joint_stamps:=arrival"
            )
            return
        try:
            told = self._joints.add(stamp, msg)
        except ConfigError as error:
            self._refuse_joints(str(error))
            return
        if not told:
            self._monitor.count("other_joint_states")
            return
        self._last_joints_at = time.monotonic()
        self._permission.clear("joints")

    def _refuse_joints(self, why: str) -> None:
        self._monitor.count_error("refused_joint_states", why)

    def _on_image(self, msg: Image) -> None:
        began = time.monotonic()
        stamp = to_ns(msg.header.stamp)
        if self._is_answered(msg):
            return
        if self._is_mistimed(stamp):
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
        self._supervision.tell()
        self._monitor.frame(self._last_frame_at - began)

    def _is_answered(self, msg: Image) -> bool:
        """Whether a frame was sent again since its answer was lost; then it is answered again."""
        if self._last_image is None or self._holds or not is_same(msg, self._last_image):
            return False
        if (last := self._guard.last) is not None:
            self._publish(last)
        return last is not None

    def _answer(self, rgb: np.ndarray, joints: np.ndarray, stamp: int) -> None:
        """Publish what the policy makes of a frame, or a hold where it may not act."""
        asked = self._config.max_lost_frames > 0  # looking takes a while of its own
        self._lost_frames = self._lost_frames + 1 if asked and not rgb.any() else 0
        self._begin_stack_after_gap(stamp)
        seen = joints[: len(self._spec.joint_names)]
        action = self._policy.act(Observation(rgb, seen))  # though held: its stack goes on
        gap_s = (stamp - self._last_stamp) / NS_PER_S
        self._last_stamp = stamp
        self._permission.clear("frames")
        if 0 < self._config.max_lost_frames <= self._lost_frames:
            self._permission.hold("lost", LOST)
        else:
            self._permission.clear("lost")
        if self._forbidden():
            return
        measured = dict(zip(self._measured_names(), joints.tolist(), strict=True))
        try:
            command = self._guard(action, gap_s, measured)
        except ImplausibleStateError as error:
            self._monitor.count_error("implausible_states", str(error))
            self._permission.hold("state", f"holding: {error}")
            self._hold()
            return
        if command.limited:
            self._monitor.count("limited_commands")
        self._holds = False
        self._publish(command.values)

    def _forbidden(self) -> bool:
        """Hold where something forbids motion; a state that cannot be is looked at anew."""
        self._permission.clear("state")
        if self._permission.may_move:
            return False
        if not self._permission.is_silent:
            self._hold()
        return True

    def _tell_doubts(self, rgb: np.ndarray, frame_id: str) -> None:
        """Once an activation: what looks as if another topic were wired."""
        for doubt in picture_doubts(self._spec, rgb, frame_id):
            self.get_logger().warning(doubt)

    def _stop(self, error: UnsafeActionError, stamp: int) -> None:
        """Let nothing more of this policy out."""
        self._last_stamp = stamp
        self._monitor.count("unsafe_actions")
        self._permission.stop(str(error))
        self._hold()

    def _is_mistimed(self, stamp: int) -> bool:
        """Whether a frame's stamp is none to act on; it is counted and logged."""
        now = self.get_clock().now().nanoseconds
        age_s = (now - stamp) / NS_PER_S
        lead_s = self._config.max_frame_lead_s
        if age_s > self._config.max_frame_age_s:
            kind, why = "stale_frames", f"it is {age_s:.2f} s old, over max_frame_age_s"
        elif now and -age_s > lead_s:  # a simulated clock that has not begun says nothing
            kind, why = "early_frames", f"its stamp is {-age_s:.2f} s ahead of the node's clock"
        elif stamp < self._last_stamp and now >= self._last_stamp - lead_s * NS_PER_S:
            back_s = (self._last_stamp - stamp) / NS_PER_S
            kind, why = "backward_frames", f"its stamp lies {back_s:.2f} s before the last frame's"
        else:
            return False
        self._monitor.count_error(kind, f"frame refused: {why}")
        return True

    def _joints_at(self, stamp: int) -> np.ndarray | None:
        """The joint positions nearest to a stamp, if any are near enough."""
        positions = self._joints.at(stamp)
        if positions is None:
            missing = self._joints.missing(stamp)
            self._monitor.count_error(
                "frames_without_joints",
                f"frame refused: no joint_states near its stamp, of {missing[0]} "
                f"({len(missing)} in all)",
            )
        return positions

    def _begin_stack_after_gap(self, stamp: int) -> None:
        """Frames that do not follow each other must not be stacked as if they did."""
        gap_s = (stamp - self._last_stamp) / NS_PER_S
        if self._last_stamp >= 0 and not 0 < gap_s <= self._config.new_stack_gap_s:
            self._policy.reset()
            self._guard.start_again()

    def _hold(self) -> None:
        """Keep the robot where it is; a hold that goes on keeps what it began with."""
        self._monitor.count("holds")
        begins, self._holds = not self._holds, True
        at_measured = begins and self._config.hold_at == "measured"
        values = self._guard.hold(self._joints.newest() if at_measured else None)
        self._guard.start_again()  # the robot may be elsewhere when it may move again
        if values is not None:
            self._publish(values)

    def _on_permission(self) -> None:
        """An operator has said something: a robot that is driven is held at once."""
        driven = bool(self._inputs) and self._guard.last is not None
        if driven and not self._permission.may_move and not self._holds:
            self._hold()

    def _watch(self) -> None:
        """Hold when something stops that has come so far, and go on holding."""
        c, now = self._config, time.monotonic()
        if self._last_stamp >= 0:
            if now - self._last_frame_at > c.frame_timeout_s:
                self._permission.hold("frames", HOLDING)
            if now - self._last_joints_at > c.joints_timeout_s:
                self._permission.hold("joints", NO_JOINTS)
        self._supervision.watch(self._command_out.topic_name)
        keeps_holding = not (self._permission.is_silent and self._holds)
        if self._last_stamp >= 0 and not self._permission.may_move and keeps_holding:
            self._hold()

    def _publish(self, values: np.ndarray) -> None:
        command = JointCommand(
            self._ordered_names, self._spec.command_mode, values[self._order], self._last_stamp
        )
        message: Any = self._output.message(command, self._duration_s)
        self._command_out.publish(message)


def main(args: list[str] | None = None) -> int:
    return run(PolicyNode, args)


if __name__ == "__main__":
    sys.exit(main())
