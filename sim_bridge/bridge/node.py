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

from samg_ros.errors import ConfigError, SamgError, SimulationError, quoted
from samg_ros.ros import qos
from samg_ros.ros.diagnostics import Monitor
from samg_ros.ros.parameters import declare
from samg_ros.ros.runtime import run
from sim_bridge.bridge.config import BridgeConfig
from sim_bridge.bridge.output import BridgeOutput, read_command, resting_command
from sim_bridge.bridge.pace import Pace
from sim_bridge.bridge.session import Session, SessionFrame
from sim_bridge.perturbations.grammar import make_perturbation
from sim_bridge.scenes.scene import Scene
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
        task.camera_fovy_rad(
            camera
        )  # an unknown one is better refused now than at the first reset
        self._session = Session(
            Scene(task, perturbation),
            camera,
            stop_on_success=config.stop_on_success,
            with_depth=config.publish_depth,
        )
        self._monitor = Monitor(self, {"task": config.task, "mode": config.mode})
        self._pace = Pace(task.spec.control_dt_s)
        self._out = BridgeOutput(self, task.spec, camera, config.publish_truth)
        self._next_seed = config.seed
        self._frame: SessionFrame | None = None
        self._awaiting = False  # lockstep: the frame has no command yet
        self._given_up = False
        self._trouble = ""  # why the last reset failed
        self._command = np.zeros(task.spec.action_size)
        self._waiting_command: np.ndarray | None = None  # one that came during a pause
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
        on_command = self._monitor.surviving(self._on_command)
        self.create_subscription(JointState, "joint_command", on_command, qos.COMMAND)
        self.create_service(Trigger, "~/reset", self._on_reset)
        self.create_service(SetBool, "~/pause", self._on_pause)
        self.create_service(Trigger, "~/step", self._on_step)
        self.add_on_set_parameters_callback(self._on_parameters)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        if self._config.mode == "realtime":
            self.create_timer(self._task.spec.control_dt_s, self._tick, clock=steady)
        else:
            self.create_timer(WATCH_PERIOD_S, self._watch, clock=steady)

    # Services and parameters

    def _on_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        values = {changed.name: changed.value for changed in parameters}
        if "perturb" in values:
            try:
                self._session.perturb(make_perturbation(values["perturb"], self._config.task))
            except SamgError as error:
                return SetParametersResult(successful=False, reason=str(error))
            except Exception as error:  # a value that somebody typed ends no simulation
                reason = f"{type(error).__name__}: {quoted(error)}"
                return SetParametersResult(successful=False, reason=reason)
        self._next_seed = values.get("seed", self._next_seed)
        return SetParametersResult(successful=True)

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response):
        seed = self._next_seed
        trouble = self._begin_next()
        response.success, response.message = not trouble, trouble or f"seed {seed}"
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
        try:
            command = read_command(msg, self._task.spec)
        except ConfigError as error:
            self._monitor.count_error("refused_commands", f"command refused: {error}")
            return
        if not self._is_current(command.stamp_ns):
            self._monitor.count("stale_commands")
            return
        self._measure(command.stamp_ns)
        if self._config.mode == "realtime":
            self._command = command.values
        else:
            self._awaiting = False
            self._waiting_command = command.values
            self._resume()

    def _is_current(self, stamp_ns: int) -> bool:
        """Lockstep: it is for the frame that waits. Realtime: it is not for an episode before
        this one; of a command without a stamp that is not known."""
        if self._config.mode == "realtime":
            return stamp_ns == 0 or stamp_ns >= self._session.began_ns
        return self._awaiting and stamp_ns == self._session.stamp_ns

    def _resume(self) -> None:
        """Carry out the command that waits, if a step may pass."""
        if self._waiting_command is not None and self._take_step():
            command, self._waiting_command = self._waiting_command, None
            self._advance(command)

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

    def _begin_episode(self) -> str:
        """:return: why its first picture failed, if it did."""
        seed = self._next_seed
        self._next_seed += 1  # though it may fail: the next draws another clip
        self._session.reset(seed)
        self._trouble = ""
        self._command = resting_command(self._task)
        self._waiting_command = None
        self._given_up = False
        self._sent_at.clear()
        self._latency_s = math.nan
        failure = self._publish()
        self._pace.begin(time.monotonic())
        return failure

    def _begin_next(self) -> str:
        """Begin an episode once the node is up.

        :return: why there is none, if a clip cannot be read any more; empty if there is.
        """
        try:
            return self._begin_episode()
        except SamgError as error:
            self._trouble = self._monitor.warning = "no new episode"
            self._monitor.count_error("failed_resets", f"no new episode: {error}")
            return str(error)

    def _advance(self, command: np.ndarray) -> None:
        try:
            self._session.step(command)
        except SimulationError as error:
            self._monitor.count_error("refused_commands", f"command refused: {error}")
            return
        failed = self._publish()
        if (failed or self._session.status.done) and self._config.auto_reset:
            self._begin_next()

    def _watch(self) -> None:
        """Lockstep: send an unanswered frame again, and at last give the episode up."""
        if self._frame is None or not self._awaiting:
            return
        now = time.monotonic()
        if self._allowed_steps == 0:
            self._waiting_since = now  # nothing is late during a pause, however long
        if now - self._waiting_since > self._config.command_timeout_s:
            self._give_up_waiting(now - self._waiting_since)
        elif now - self._resent_at > self._config.resend_s:
            self._resent_at = now
            self._monitor.counts["resent_frames"] += 1
            self._out.frame(self._frame)

    def _give_up_waiting(self, waited_s: float) -> None:
        self._give_up(
            "timeouts",
            "no command",
            f"no command for the current frame in {waited_s:.0f} s: episode given up. Is a policy "
            "running, and wired to 'joint_command'?",
        )
        if self._config.auto_reset:
            self._begin_next()

    def _give_up(self, kind: str, warning: str, message: str) -> None:
        """End the episode before its time; nothing moves until the next one begins."""
        self._awaiting = False
        self._given_up = True
        self._monitor.warning = warning
        self._monitor.count_error(kind, message)
        self._publish_status()

    def _tick(self) -> None:
        """Realtime: one control step with the last command."""
        runs = self._frame is not None and not (self._session.status.done or self._given_up)
        stepped = runs and self._take_step()
        if self._pace.tick(time.monotonic(), stepped=stepped):
            self._monitor.count_error("late_episodes", self._pace.warning())
        if stepped:
            self._advance(self._command)
        if runs and not self._given_up:
            self._monitor.tell(self._pace.facts(), self._trouble or self._pace.warning())

    def _publish(self) -> str:
        """:return: why there is no picture, if so."""
        began = time.monotonic()
        try:
            self._frame = self._session.observe()
        except SamgError as error:
            self._give_up(
                "failed_pictures", "no picture", f"no picture, episode given up: {error}"
            )
            return str(error)
        self._waiting_since = self._resent_at = time.monotonic()
        self._pace.picture(self._waiting_since - began)
        self._sent_at[self._frame.stamp_ns] = self._waiting_since
        self._awaiting = not self._session.status.done
        self._monitor.warning = self._trouble
        self._publish_status()
        self._out.frame(self._frame)
        return ""

    def _publish_status(self) -> None:
        status, stamp = self._session.status, self._session.stamp_ns
        self._out.episode(status, stamp, latency_s=self._latency_s, timed_out=self._given_up)


def main(args: list[str] | None = None) -> int:
    return run(BridgeNode, args)


if __name__ == "__main__":
    sys.exit(main())
