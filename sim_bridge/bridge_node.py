"""The bridge: a simulated task behind the topics of a real robot with a camera."""

from __future__ import annotations

import math
import sys
import time

import numpy as np
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool, Trigger

from samg_ros.errors import ConfigError, SamgError, SimulationError
from samg_ros.ros import qos
from samg_ros.ros.diagnostics import Monitor
from samg_ros.ros.joints import msg_to_command
from samg_ros.ros.parameters import declare
from samg_ros.ros.runtime import run
from sim_bridge.bridge_config import BridgeConfig
from sim_bridge.bridge_output import BridgeOutput
from sim_bridge.perturbations import make_perturbation
from sim_bridge.scene import Scene
from sim_bridge.session import Session, SessionFrame
from sim_bridge.task import make_task

WATCH_PERIOD_S = 0.25


class BridgeNode(Node):
    """Node ``bridge``. One thread: physics, rendering and topics take turns."""

    def __init__(self) -> None:
        super().__init__("bridge")
        self._config = config = declare(self, BridgeConfig)
        perturbation = make_perturbation(config.perturb, config.task)
        self._task = task = make_task(
            config.task,
            height=config.image_height,
            width=config.image_width,
            shadows=config.shadows,
        )
        camera = config.camera or task.spec.default_camera
        scene = Scene(task, perturbation)
        self._session = Session(scene, camera, stop_on_success=config.stop_on_success)
        self._monitor = Monitor(self, {"task": config.task, "mode": config.mode})
        self._out = BridgeOutput(self, task.spec, camera, config.publish_truth)
        self._next_seed = config.seed
        self._frame: SessionFrame | None = None
        self._awaiting = False  # lockstep: the frame has no command yet
        self._timed_out = False
        self._action = np.zeros(task.spec.action_size)
        self._waiting_action: np.ndarray | None = None  # a command that came during a pause
        self._allowed_steps: int | None = None  # None: running; else what a pause still allows
        self._sent_at: dict[int, float] = {}
        self._waiting_since = self._resent_at = 0.0
        self._latency_s = math.nan
        self._make_inputs()
        if config.autostart:
            self._begin_episode()

    def close(self) -> None:
        """Free the renderer."""
        self._session.close()

    def _make_inputs(self) -> None:
        self.create_subscription(JointState, "joint_command", self._on_command, qos.COMMAND)
        self.create_service(Trigger, "~/reset", self._on_reset)
        self.create_service(SetBool, "~/pause", self._on_pause)
        self.create_service(Trigger, "~/step", self._on_step)
        self.add_on_set_parameters_callback(self._on_parameters)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        if self._config.mode == "realtime":
            self._last_tick = time.monotonic()
            self.create_timer(self._task.spec.control_dt_s, self._tick, clock=steady)
        else:
            self.create_timer(WATCH_PERIOD_S, self._watch, clock=steady)

    # Services and parameters

    def _on_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        values = {changed.name: changed.value for changed in parameters}
        if "perturb" in values:
            try:
                perturbation = make_perturbation(values["perturb"], self._config.task)
                self._session.perturb(perturbation)
            except SamgError as error:
                return SetParametersResult(successful=False, reason=str(error))
        self._next_seed = values.get("seed", self._next_seed)
        return SetParametersResult(successful=True)

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response):
        seed = self._next_seed
        self._begin_episode()
        response.success, response.message = True, f"seed {seed}"
        return response

    def _on_pause(self, request: SetBool.Request, response: SetBool.Response):
        self._allowed_steps = 0 if request.data else None
        response.success, response.message = True, "paused" if request.data else "running"
        self._resume()
        return response

    def _on_step(self, request: Trigger.Request, response: Trigger.Response):
        if self._allowed_steps is None:
            response.message = "not paused; call ~/pause with data: true first"
            return response
        steps = self.get_parameter("steps_per_call").value
        self._allowed_steps += steps
        response.success, response.message = True, f"{steps} control steps"
        self._resume()
        return response

    # Commands

    def _on_command(self, msg: JointState) -> None:
        spec = self._task.spec
        try:
            command = msg_to_command(msg, spec.actuated_joints, spec.command_mode)
        except ConfigError as error:
            self._monitor.count_error("refused_commands", f"command refused: {error}")
            return
        action = spec.command_to_action(command.values)
        if self._config.mode == "realtime":
            self._measure(command.stamp_ns)
            self._action = action
        elif self._awaiting and self._frame and command.stamp_ns == self._frame.stamp_ns:
            self._measure(command.stamp_ns)
            self._awaiting = False
            self._waiting_action = action
            self._resume()
        else:
            self._monitor.counts["stale_commands"] += 1

    def _resume(self) -> None:
        """Carry out the command that waits, if a step may pass."""
        if self._waiting_action is not None and self._take_step():
            action, self._waiting_action = self._waiting_action, None
            self._advance(action)

    def _take_step(self) -> bool:
        if self._allowed_steps is None:
            return True
        allowed = self._allowed_steps > 0
        self._allowed_steps -= int(allowed)
        return allowed

    def _measure(self, stamp_ns: int) -> None:
        sent = self._sent_at.pop(stamp_ns, None)
        if sent is not None:
            self._latency_s = time.monotonic() - sent
            self._monitor.frame(self._latency_s)

    # Time

    def _begin_episode(self) -> None:
        self._session.reset(self._next_seed)
        self._next_seed += 1
        self._action = self._resting_action()
        self._waiting_action = None
        self._timed_out = False
        self._sent_at.clear()
        self._latency_s = math.nan
        self._publish()

    def _resting_action(self) -> np.ndarray:
        """What holds the robot still until it is told something: its own pose, or no effort."""
        spec = self._task.spec
        if spec.command_mode != "position":
            return np.zeros(spec.action_size)
        where = dict(zip(spec.joint_names, self._task.joint_state().position, strict=True))
        return spec.command_to_action(np.array([where[name] for name in spec.actuated_joints]))

    def _advance(self, action: np.ndarray) -> None:
        try:
            self._session.step(action)
        except SimulationError as error:
            self._monitor.count_error("refused_commands", f"command refused: {error}")
            return
        self._publish()
        if self._session.status.done and self._config.auto_reset:
            self._begin_episode()

    def _watch(self) -> None:
        """Lockstep: send an unanswered frame again, and at last give the episode up."""
        if self._frame is None or not self._awaiting:
            return
        now = time.monotonic()
        if self._allowed_steps == 0:
            self._waiting_since = now  # nobody is late during a pause, however long
        if now - self._waiting_since > self._config.command_timeout_s:
            self._give_up(now - self._waiting_since)
        elif now - self._resent_at > self._config.resend_s:
            self._resent_at = now
            self._monitor.counts["resent_frames"] += 1
            self._out.frame(self._frame)

    def _give_up(self, waited_s: float) -> None:
        self._awaiting = False
        self._timed_out = True
        self._monitor.warning = "no command"
        self._monitor.count_error(
            "timeouts",
            f"no command for the current frame in {waited_s:.0f} s: episode given up. Is a policy "
            "running, and wired to 'joint_command'?",
        )
        self._publish_status()
        if self._config.auto_reset:
            self._begin_episode()

    def _tick(self) -> None:
        """Realtime: one control step with the last command."""
        now = time.monotonic()
        factor = self._task.spec.control_dt_s / (now - self._last_tick)
        self._last_tick = now
        self._monitor.facts["realtime_factor"] = f"{factor:.2f}"
        running = self._frame is not None and not self._session.status.done
        if running and self._take_step():
            self._advance(self._action)

    def _publish(self) -> None:
        self._frame = self._session.observe()
        self._waiting_since = self._resent_at = time.monotonic()
        self._sent_at[self._frame.stamp_ns] = self._waiting_since
        self._awaiting = not self._session.status.done
        self._monitor.warning = ""
        self._publish_status()
        self._out.frame(self._frame)

    def _publish_status(self) -> None:
        self._out.episode(
            self._session.status,
            self._session.stamp_ns,
            latency_s=self._latency_s,
            timed_out=self._timed_out,
        )


def main(args: list[str] | None = None) -> int:
    return run(BridgeNode, args)


if __name__ == "__main__":
    sys.exit(main())
