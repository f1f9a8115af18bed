"""A robot with a camera on a stage, for the tests of the policy that drives it."""

from __future__ import annotations

from itertools import count
from typing import Any

import numpy as np
from harness import POLICY, Stage
from messages import image, picture, with_stamp
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState

from samg_ros.ros import qos
from samg_ros.ros.qos import NS_PER_S, from_ns
from sim_bridge.task import TaskSpec

TASK = "adroit_door"


class Robot:
    """The probe as a robot with a camera, on a clock of its own, and a policy that drives it."""

    def __init__(
        self, stage: Stage, spec: TaskSpec, msgtype: type = JointState, **parameters: Any
    ) -> None:
        usual = {"task": TASK, "policy": "random", "use_sim_time": True, "frame_timeout_s": 1.0}
        self.parameters = usual | parameters
        stage.start("policy", POLICY, self.parameters)
        self.stage, self.probe, self.spec = stage, stage.probe, spec
        self.now_ns = 10 * NS_PER_S + 7
        self.to_clock = self.probe.create_publisher(Clock, "/clock", qos.COMMAND)
        self.to_image = self.probe.create_publisher(Image, "image", qos.IMAGE_OUT)
        self.to_joints = self.probe.create_publisher(JointState, "joint_states", qos.STATUS)
        self.commands = self.probe.listen(msgtype, "joint_command")

    def later(self, seconds: float = 0.02) -> int:
        """Let time pass. :return: the new stamp."""
        self.now_ns += round(seconds * NS_PER_S)
        return self.now_ns

    def send(
        self,
        stamp_ns: int,
        *,
        joints_ns: int | None = None,
        rgb: np.ndarray | None = None,
        position: float = 0.0,
    ) -> None:
        """Joint states (of another stamp where given), then a frame."""
        self.send_joints(stamp_ns if joints_ns is None else joints_ns, position)
        self.to_image.publish(image(picture() if rgb is None else rgb, stamp_ns))

    def send_joints(self, stamp_ns: int, position: float = 0.0) -> None:
        names = list(self.spec.joint_names)
        msg = JointState(name=names, position=[position] * len(names))
        msg.header.stamp = from_ns(stamp_ns)
        self.to_joints.publish(msg)

    def commanded(self, stamp_ns: int) -> JointState:
        """Send until the command of a stamp is there: joints and frame come on two roads."""
        rounds = count()

        def answered() -> list[JointState]:
            if next(rounds) % 20 == 0:
                self.send(stamp_ns)
            return with_stamp(self.commands, stamp_ns)

        return self.probe.wait_for(answered, f"a command for {stamp_ns}")[0]

    def told(self, text: str, rgb: np.ndarray, position: float = 0.0) -> None:
        """Send frames until the policy's diagnostics say so."""
        rounds = count()

        def says() -> bool:
            if next(rounds) % 20 == 0:
                self.send(self.later(), rgb=rgb, position=position)
            status = self.probe.statuses.get("policy")
            return status is not None and text in status.message

        self.probe.wait_for(says, text)

    def refused(self, kind: str) -> int:
        return self.probe.fresh_count("policy", kind)

    def move_clock(self, stamp_ns: int) -> None:
        """Set the simulated time and wait until the policy has it."""

        def moved() -> bool:
            self.to_clock.publish(Clock(clock=from_ns(stamp_ns)))
            return self.probe.times.get("policy", 0) >= stamp_ns

        self.probe.wait_for(moved, "the policy's clock moves")
