"""A bridge of a test's own, and what drives it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from harness import BRIDGE, Stage, open_stage
from messages import with_stamp
from probe import RELIABLE
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_srvs.srv import SetBool, Trigger

from samg_ros.ros import qos
from samg_ros.ros.diagnostics import status_values
from samg_ros.ros.qos import from_ns, to_ns
from sim_bridge.task import TaskSpec, make_task

HEIGHT, WIDTH = 48, 64
NEVER_S = 600.0


class Bridge:
    """One bridge on a stage, in a namespace of its own, and the probe as what drives it."""

    def __init__(
        self, stage: Stage, name: str, spec: TaskSpec, module: str = BRIDGE, **parameters
    ) -> None:
        self.name, self.spec = name, spec
        self.stage, self.probe = stage, stage.probe
        given = {
            "task": spec.name,
            "image_height": HEIGHT,
            "image_width": WIDTH,
            "autostart": False,
            "auto_reset": False,
            "resend_s": NEVER_S,
            **parameters,
        }
        remappings = {"__ns": f"/{name}", "__node": name, "/clock": f"/{name}/clock"}
        stage.start(name, module, given, remappings)
        self.images = self.listen(Image, "image_raw")
        self.depths = self.listen(Image, "depth/image_raw")
        self.infos = self.listen(CameraInfo, "camera_info")
        self.joints = self.listen(JointState, "joint_states")
        self.clocks = self.listen(Clock, "clock")
        self.truths = self.listen(Image, f"{name}/mask_truth")
        self.episodes: list[DiagnosticArray] = []
        # A realtime bridge says much: searching all of it for each new word would never end.
        self.stamp_of: dict[tuple[str, str], int] = {}
        """When a step of a seed was told of last, ns, by (seed, step)."""
        self.probe.create_subscription(
            DiagnosticArray, f"/{name}/{name}/episode", self._on_episode, RELIABLE
        )
        self.to_command = self.probe.create_publisher(
            JointState, f"/{name}/joint_command", qos.COMMAND
        )

    def _on_episode(self, msg: DiagnosticArray) -> None:
        self.episodes.append(msg)
        told = status_values(msg.status[0])
        self.stamp_of[told["seed"], told["step"]] = to_ns(msg.header.stamp)

    def listen(self, msgtype: type, topic: str) -> list:
        return self.probe.listen(msgtype, f"/{self.name}/{topic}")

    def call(self, service: str, srv_type: type = Trigger, request=None):
        return self.probe.call(srv_type, f"/{self.name}/{self.name}/{service}", request)

    def set(self, parameter: str, value: int) -> bool:
        return self.probe.set_parameter(f"/{self.name}/{self.name}", parameter, value)

    def perturb(self, text: str) -> SetParametersResult:
        given = Parameter("perturb", value=text).to_parameter_msg()
        request = SetParameters.Request(parameters=[given])
        return self.call("set_parameters", SetParameters, request).results[0]

    def pause(self, paused: bool) -> str:
        return self.call("pause", SetBool, SetBool.Request(data=paused)).message

    def begin_paused(self) -> str:
        """Begin the next episode and hold it there. :return: its seed."""
        self.pause(True)
        seed = self.call("reset").message.removeprefix("seed ")
        self.probe.wait_for(lambda: (seed, "0") in self.stamp_of, f"{self.name}: the first step")
        return seed

    def reset(self) -> Image:
        """Begin the next episode. :return: its first picture."""
        seen = len(self.images)
        assert self.call("reset").success
        return self.frame(seen)

    def frame(self, number: int) -> Image:
        """Wait for the picture of that number since the start, and all that goes with it."""
        self.probe.wait_for(lambda: len(self.images) > number, f"{self.name}: frame {number}")
        stamp = to_ns(self.images[number].header.stamp)
        with_headers = (self.infos, self.joints, self.truths, self.episodes)

        def complete() -> bool:
            told = any(to_ns(msg.clock) == stamp for msg in self.clocks)
            return told and all(with_stamp(inbox, stamp) for inbox in with_headers)

        self.probe.wait_for(complete, f"{self.name}: what goes with frame {number}")
        return self.images[number]

    def command(self, stamp_ns: int, **changes) -> JointState:
        """A command in the middle of all ranges, with fields changed."""
        middle = (np.array(self.spec.command_low) + self.spec.command_high) / 2
        fields = {"name": list(self.spec.actuated_joints), "position": middle.tolist(), **changes}
        msg = JointState(**fields)
        msg.header.stamp = from_ns(stamp_ns)
        return msg

    def answer(self, frame: Image) -> None:
        self.to_command.publish(self.command(to_ns(frame.header.stamp)))

    def count(self, key: str) -> int:
        return self.probe.count(self.name, key)

    def wait_for_count(self, key: str, value: int) -> None:
        self.probe.wait_for_count(self.name, key, value)

    def step(self, frame: Image) -> Image:
        """Answer a frame. :return: the next one."""
        seen = len(self.images)
        self.answer(frame)
        return self.frame(seen)

    def episode(self) -> dict[str, str]:
        return status_values(self.episodes[-1].status[0])

    def connect(self) -> None:
        """Reset until the picture arrives and a command gets through: all is wired then."""
        for inbox in (self.infos, self.joints, self.clocks, self.truths, self.episodes):
            self.probe.wait_for(lambda inbox=inbox: inbox or self.reset_again(), self.name)
        ready = self.to_command.get_subscription_count
        self.probe.wait_for(lambda: ready() > 0, f"{self.name} takes commands")

    def reset_again(self) -> bool:
        assert self.call("reset").success
        return False


def spec_of(name: str) -> TaskSpec:
    task = make_task(name, height=HEIGHT, width=WIDTH)
    task.close()
    return task.spec


@contextmanager
def open_bridges(folder: Path, kinds: dict[str, dict]) -> Iterator[dict[str, Bridge]]:
    """Bridges by name, wired up: those in realtime are paused, since what they go on to say would
    only be in the way."""
    with open_stage(folder) as stage:
        started = {name: Bridge(stage, name, **given) for name, given in kinds.items()}
        for name, bridge in started.items():
            bridge.connect()
            if kinds[name].get("mode") == "realtime":
                bridge.pause(True)
        yield started
