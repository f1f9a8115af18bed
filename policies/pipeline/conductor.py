"""Starts episodes on the bridge and follows them; the demo's own ROS node."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from std_srvs.srv import Trigger

from samg_ros.errors import SamgError
from samg_ros.ros import qos
from samg_ros.ros.diagnostics import NOT_RECORDING, status_values

SPIN_S = 0.1


@dataclass(frozen=True)
class Progress:
    """How an episode stands, for a line on screen."""

    episode: int
    step: int
    success: bool
    done: bool
    timed_out: bool
    frames_per_s: float
    latency_ms: float
    score: str


class Conductor(Node):
    """Node ``conductor``.

    :param check: called while waiting; raises when a process of the pipeline has died.
    """

    def __init__(self, check: Callable[[], None]) -> None:
        super().__init__("conductor")
        self._check = check
        self._latest: dict[str, str] = {}
        self._score = "-"
        self._lost_recorder = ""  # why it no longer records
        self._began = 0.0
        self._reset: Any = self.create_client(Trigger, "/bridge/reset")
        self.create_subscription(DiagnosticArray, "/bridge/episode", self._on_episode, qos.STATUS)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_status, qos.STATUS)

    def wait_until_wired(self, wires: dict[str, set[str]], timeout_s: float) -> None:
        """Wait until each topic has the nodes named as subscribers, and the reset service is up.

        :raises SamgError: not within ``timeout_s``; the message says what is missing. Or the
            recorder has stopped.
        """
        deadline = time.monotonic() + timeout_s
        while missing := self._missing(wires):
            if time.monotonic() > deadline:
                raise SamgError(f"not ready after {timeout_s:.0f} s: {'; '.join(missing)}")
            self._spin()

    def run_episode(self, report: Callable[[Progress], None], silence_s: float) -> Progress:
        """Reset the bridge and follow one episode to its end.

        :param silence_s: give up when the bridge says nothing for this long.
        :raises SamgError: the bridge begins no episode or fell silent, the recorder has stopped,
            or a process died.
        """
        self._latest = {}
        future: Any = self._reset.call_async(Trigger.Request())
        self._began = self._heard = time.monotonic()
        while not (future.done() and self._latest.get("done") == "1"):
            self._spin()
            if future.done() and not (result := future.result()).success:
                raise SamgError(f"the bridge begins no episode: {result.message}")
            if self._latest:
                report(self._progress())
            if time.monotonic() - self._heard > silence_s:
                raise SamgError(f"the bridge has said nothing for {silence_s:.0f} s")
        return self._progress()

    def settle(self, seconds: float) -> None:
        """Keep spinning, so that what is under way arrives and is recorded."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._spin()

    def _spin(self) -> None:
        rclpy.spin_once(self, timeout_sec=SPIN_S)
        self._check()
        if self._lost_recorder:
            raise SamgError(f"the recorder has stopped, {self._lost_recorder}")

    def _missing(self, wires: dict[str, set[str]]) -> list[str]:
        missing = [] if self._reset.service_is_ready() else ["no /bridge/reset service"]
        for topic, wanted in wires.items():
            there = {info.node_name for info in self.get_subscriptions_info_by_topic(topic)}
            missing += [f"{name} does not listen to {topic}" for name in sorted(wanted - there)]
        return missing

    def _on_episode(self, msg: DiagnosticArray) -> None:
        self._latest = status_values(msg.status[0])
        self._heard = time.monotonic()

    def _on_status(self, msg: DiagnosticArray) -> None:
        for status in msg.status:
            if status.name == "masker":
                self._score = status_values(status).get("score", "-")
            if status.name == "recorder" and status.message.startswith(NOT_RECORDING):
                self._lost_recorder = status.message

    def _progress(self) -> Progress:
        latest = self._latest
        step = int(latest["step"])
        latency = float(latest["latency_ms"])
        return Progress(
            episode=int(latest["episode"]),
            step=step,
            success=latest["success"] == "1",
            done=latest["done"] == "1",
            timed_out=latest["timed_out"] == "1",
            frames_per_s=step / max(time.monotonic() - self._began, 1e-6),
            latency_ms=0.0 if math.isnan(latency) else latency,
            score=self._score,
        )
