"""What the bridge publishes: one control step as messages under one stamp."""

from __future__ import annotations

import math

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Header

from samg_ros.errors import ConfigError
from samg_ros.robot import JointCommand
from samg_ros.ros import qos
from samg_ros.ros.diagnostics import status_message
from samg_ros.ros.images import from_depth, from_mask, from_rgb
from samg_ros.ros.joints import msg_to_command
from samg_ros.ros.qos import from_ns
from sim_bridge.bridge.session import EpisodeStatus, SessionFrame
from sim_bridge.task import Task, TaskSpec


class BridgeOutput:
    """The bridge's publishers. Depth is published where a frame has it.

    :param camera: frame id of the pictures.
    :param publish_truth: also publish the true mask.
    """

    def __init__(self, node: Node, spec: TaskSpec, camera: str, publish_truth: bool) -> None:
        self._spec = spec
        self._camera = camera
        self._publish_truth = publish_truth
        self._image = node.create_publisher(Image, "image_raw", qos.IMAGE_OUT)
        self._depth = node.create_publisher(Image, "depth/image_raw", qos.IMAGE_OUT)
        self._info = node.create_publisher(CameraInfo, "camera_info", qos.IMAGE_OUT)
        self._joints = node.create_publisher(JointState, "joint_states", qos.STATUS)
        self._clock = node.create_publisher(Clock, "/clock", qos.COMMAND)
        self._truth = node.create_publisher(Image, "~/mask_truth", qos.IMAGE_OUT)
        self._episode = node.create_publisher(DiagnosticArray, "~/episode", qos.STATUS)

    def frame(self, frame: SessionFrame) -> None:
        """Publish clock, joints, truth, depth, camera info and, at last, the picture."""
        stamp = from_ns(frame.stamp_ns)
        header = Header(stamp=stamp, frame_id=self._camera)
        self._clock.publish(Clock(clock=stamp))
        self._joints.publish(self._joints_message(frame))
        if self._publish_truth:
            self._truth.publish(from_mask(frame.targets > 0, header))
        if frame.depth is not None:
            self._depth.publish(from_depth(frame.depth, header))
        height, width = frame.targets.shape
        self._info.publish(camera_info(header, height, width, frame.fovy_rad))
        self._image.publish(from_rgb(frame.rgb, header))

    def episode(
        self, status: EpisodeStatus, stamp_ns: int, *, latency_s: float, timed_out: bool
    ) -> None:
        """Publish how the episode stands, and the latency of the command that brought it here."""
        values = {
            "episode": status.episode,
            "seed": status.seed,
            "step": status.step,
            "reward": f"{status.reward:.6g}",
            "return": f"{status.return_:.6g}",
            "success": "" if status.success is None else int(status.success),
            "done": int(status.done or timed_out),
            "timed_out": int(timed_out),
            "latency_ms": f"{latency_s * 1e3:.1f}",
        }
        message = DiagnosticArray()
        message.header.stamp = from_ns(stamp_ns)
        message.status = [status_message(self._spec.name, DiagnosticStatus.OK, "", values)]
        self._episode.publish(message)

    def _joints_message(self, frame: SessionFrame) -> JointState:
        msg = JointState(name=list(self._spec.joint_names))
        msg.header.stamp = from_ns(frame.stamp_ns)
        msg.position = frame.joints.position.tolist()
        msg.velocity = frame.joints.velocity.tolist()
        return msg


def camera_info(header: Header, height: int, width: int, fovy_rad: float) -> CameraInfo:
    """A pinhole camera without distortion; the optical axis meets the picture's middle."""
    focal = height / (2 * math.tan(fovy_rad / 2))
    # Pixel centres are at whole numbers: the middle of the picture is half a pixel before W / 2.
    cx, cy = (width - 1) / 2, (height - 1) / 2
    info = CameraInfo(header=header, height=height, width=width)
    info.distortion_model = "plumb_bob"
    info.d = [0.0] * 5
    info.k = [focal, 0.0, cx, 0.0, focal, cy, 0.0, 0.0, 1.0]
    info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    info.p = [focal, 0.0, cx, 0.0, 0.0, focal, cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    return info


# A limit that went through float32 is still within the limits; as a share of the range.
_TOLERANCE = 1e-6


def read_command(msg: JointState, spec: TaskSpec) -> JointCommand:
    """:raises ConfigError: other joints than ``spec.actuated_joints``, in any order, a wrong
    length, NaN or infinity, or a value beyond the limits; the message names the joint.
    """
    command = msg_to_command(msg, spec.actuated_joints, spec.command_mode)
    low, high = spec.command_limits
    beyond = np.maximum(low - command.values, command.values - high)
    worst = int(np.argmax(beyond / (high - low)))
    if beyond[worst] > _TOLERANCE * (high - low)[worst]:
        raise ConfigError(
            f"command for joint {command.names[worst]} is {command.values[worst]:.6g}; its "
            f"{command.mode} must be within {low[worst]:.6g} to {high[worst]:.6g}"
        )
    return command


def resting_command(task: Task) -> np.ndarray:
    """What holds a robot still until it is commanded: its own pose, or no speed or effort.

    :return: float64 [A] in the units of ``spec.command_mode``.
    """
    spec = task.spec
    if spec.command_mode != "position":
        return np.zeros(spec.action_size)
    where = dict(zip(spec.joint_names, task.joint_state().position, strict=True))
    return np.array([where[name] for name in spec.actuated_joints])
