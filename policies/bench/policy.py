"""``samg bench policy``: observations a second on one thread, and a policy node's latency."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import OmitArgPrefixes

from samg_ros.errors import ConfigError, SamgError
from samg_ros.io.progress import progress
from samg_ros.io.run_folder import RunFolder, command_line
from samg_ros.parameters import documented, parameter, validate

if TYPE_CHECKING:
    from diagnostic_msgs.msg import DiagnosticArray
    from rich.console import Console
    from sensor_msgs.msg import JointState

    from policies.base import Observation, Policy
    from samg_ros.robot import PolicySpec


PICTURES = 8
"""Different ones in turn, as a camera gives them."""


@dataclass(frozen=True)
class Round:
    """``wall_s``: how long each call took; ``cpu_s``: CPU time of all of them."""

    wall_s: tuple[float, ...]
    cpu_s: float


@dataclass(frozen=True)
class PolicyFigures:
    """Medians of a policy's rounds. ``per_cpu_s``: observations for a second of CPU time, which
    other processes change less."""

    policy: str
    task: str
    per_s: float
    per_cpu_s: float
    p50_ms: float
    p95_ms: float


def measure(name: str, policy: Policy, bench: PolicyBench) -> PolicyFigures:
    """Time a policy's pre-processing and network together. :param name: what it is called."""
    shown = observations(policy.spec, bench.seed)
    policy.reset()
    rounds = [_round(policy, shown, bench.calls) for _ in range(bench.rounds + 1)]
    return figures(name, policy.spec.task, rounds[1:])  # the first one warmed up


def figures(policy: str, task: str, rounds: Sequence[Round]) -> PolicyFigures:
    """What rounds amount to."""

    import numpy as np

    def percentile(share: int) -> float:
        return statistics.median(float(np.percentile(r.wall_s, share)) for r in rounds) * 1e3

    return PolicyFigures(
        policy=policy,
        task=task,
        per_s=statistics.median(len(r.wall_s) / sum(r.wall_s) for r in rounds),
        per_cpu_s=statistics.median(len(r.wall_s) / r.cpu_s for r in rounds),
        p50_ms=percentile(50),
        p95_ms=percentile(95),
    )


def observations(spec: PolicySpec, seed: int) -> list[Observation]:
    """Pictures of noise as large as the policy's camera makes them, and joints at rest."""
    import numpy as np

    from policies.base import Observation

    rng = np.random.default_rng(seed)
    size = (PICTURES, spec.image_size, spec.image_size, 3)
    joints = np.zeros(len(spec.joint_names), np.float32)
    return [Observation(image, joints) for image in rng.integers(256, size=size, dtype=np.uint8)]


def _round(policy: Policy, shown: Sequence[Observation], calls: int) -> Round:
    took = []
    cpu = time.process_time()
    for number in range(calls):
        began = time.perf_counter()
        policy.act(shown[number % len(shown)])
        took.append(time.perf_counter() - began)
    return Round(tuple(took), time.process_time() - cpu)


@documented
@dataclass(frozen=True)
class PolicyBench:
    """Which policies are timed, and how often."""

    policies: tuple[str, ...] = parameter(
        (), "names of checkpoints that ship, or paths of any; empty takes every student that ships"
    )
    calls: int = parameter(200, "observations of a round", low=10, high=100_000)
    rounds: int = parameter(
        5, "rounds, of which medians are taken; one more warms up", low=1, high=1000
    )
    via_ros: bool = parameter(
        False, "also send the observations through a policy node, one after the other"
    )
    seed: int = parameter(0, "seed of the pictures", low=0)
    out: str = parameter("", "folder of the run; a new one under 'runs' by default")

    def __post_init__(self) -> None:
        validate(self)


READY_TIMEOUT_S = 120.0
ANSWER_TIMEOUT_S = 2.0
PERIOD_S = 0.01
"""From an answer to the next observation: a camera does not wait at the door either."""


@dataclass(frozen=True)
class NodeFigures:
    """``inside``: in the node, from a frame's arrival to its command's publication, over the last
    frames, as it says on ``/diagnostics``. ``around``: from publishing an observation to the
    command's arrival in another process. ``lost``: observations without an answer."""

    policy: str
    inside_p50_ms: float
    inside_p95_ms: float
    around_p50_ms: float
    around_p95_ms: float
    frames: int
    lost: int


def measure_node(name: str, source: str, spec: PolicySpec, bench: PolicyBench) -> NodeFigures:
    """Start a policy node and time it.

    :param source: what the node's ``policy`` parameter takes.
    :raises SamgError: it does not start, or dies; the message holds its last lines.
    """
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from policies.pipeline.processes import Processes
    from samg_ros.ros.environment import dds_environment, free_domain_id, isolated_environment

    os.environ.update(dds_environment(local=True) | isolated_environment(free_domain_id()))
    arguments = ["--ros-args", "-p", f"task:={spec.task}", "-p", f"policy:={source}"]
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            Processes(Path(folder), dict(os.environ)) as processes,
        ):
            processes.start("policy", "policies.node.policy_node", arguments)
            camera = _Camera(spec, processes.check)
            return camera.time_answers(name, observations(spec, bench.seed), bench.calls)
    finally:
        rclpy.try_shutdown()


class _Camera:
    """Camera and joints of the robot that the node believes it drives, as a node."""

    def __init__(self, spec: PolicySpec, check: Callable[[], None]) -> None:
        import rclpy
        from diagnostic_msgs.msg import DiagnosticArray
        from sensor_msgs.msg import Image, JointState

        from samg_ros.ros import qos

        self._node = node = rclpy.create_node("bench_policy")
        self._spin_once = partial(rclpy.spin_once, node)
        self._check, self._spec = check, spec
        self._answered = -1
        self._told: dict[str, str] = {}
        self._images = node.create_publisher(Image, "image", qos.IMAGE_OUT)
        self._joints = node.create_publisher(JointState, "joint_states", qos.STATUS)
        node.create_subscription(JointState, "joint_command", self._on_command, qos.COMMAND)
        node.create_subscription(DiagnosticArray, "/diagnostics", self._on_status, qos.STATUS)

    def time_answers(self, name: str, shown: list[Observation], calls: int) -> NodeFigures:
        """Send so many observations; what the first ones meet is a cold start, untimed."""
        from samg_ros.ros.diagnostics import WINDOW

        self._until(lambda: self._images.get_subscription_count() > 0, READY_TIMEOUT_S)
        self._until(lambda: self._answer(shown[0]) is not None, READY_TIMEOUT_S)
        took = [self._answer(shown[n % len(shown)]) for n in range(max(calls, WINDOW))]
        import numpy as np

        around = np.array([one for one in took if one is not None]) * 1e3
        if not around.size:
            raise SamgError("the policy node answers no observation in time")
        self._told = {}
        self._until(lambda: "latency_p50_ms" in self._told, READY_TIMEOUT_S)
        return NodeFigures(
            policy=name,
            inside_p50_ms=float(self._told["latency_p50_ms"]),
            inside_p95_ms=float(self._told["latency_p95_ms"]),
            around_p50_ms=float(np.percentile(around, 50)),
            around_p95_ms=float(np.percentile(around, 95)),
            frames=len(took),
            lost=len(took) - around.size,
        )

    def _answer(self, observation: Observation) -> float | None:
        """:return: seconds until the command of this observation was here; None without one."""
        from sensor_msgs.msg import JointState
        from std_msgs.msg import Header

        from samg_ros.ros.images import from_rgb
        from samg_ros.ros.qos import to_ns

        time.sleep(PERIOD_S)
        header = Header(stamp=self._node.get_clock().now().to_msg(), frame_id=self._spec.camera)
        names, positions = list(self._spec.joint_names), observation.joints.tolist()
        image = from_rgb(observation.image, header)
        began = time.perf_counter()
        self._joints.publish(JointState(header=header, name=names, position=positions))
        self._images.publish(image)
        stamp = to_ns(header.stamp)
        while self._answered != stamp:
            self._spin_once(timeout_sec=ANSWER_TIMEOUT_S)
            if time.perf_counter() - began > ANSWER_TIMEOUT_S:
                self._check()
                return None
        return time.perf_counter() - began

    def _until(self, condition: Callable[[], bool], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            self._spin_once(timeout_sec=PERIOD_S)
            self._check()
            if time.monotonic() > deadline:
                raise SamgError(f"the policy node is not ready after {timeout_s:.0f} s")

    def _on_command(self, msg: JointState) -> None:
        from samg_ros.ros.qos import to_ns

        self._answered = to_ns(msg.header.stamp)

    def _on_status(self, msg: DiagnosticArray) -> None:
        from samg_ros.ros.diagnostics import status_values

        for status in msg.status:
            if status.name == "policy":
                self._told = status_values(status)


NOTES = """\
a second: observations, pre-processing and network on one thread; in brackets for a second of CPU
time. ms: p50 / p95 of one; in the policy node, from a frame's arrival to its command; and around
it, from one process to another and back, each sent 10 ms after the answer before."""


def policy(bench: OmitArgPrefixes[PolicyBench]) -> None:
    """Observations a second of policies on one thread; with --via-ros also as nodes."""
    from rich.console import Console

    from samg_ros.machine import describe, machine

    if bench.via_ros:
        check_ros()
    chosen = loaded(bench.policies)
    command = command_line("samg bench policy", bench, ["out"])
    console = Console()
    with RunFolder.begin("bench_policy", bench, command, out=bench.out) as folder:
        rows, nodes = [], []
        with progress("policies", len(chosen), lines=False) as report:
            for number, (name, (source, made)) in enumerate(chosen.items()):
                report(number, name)
                rows.append(measure(name, made, bench))
                if bench.via_ros:
                    nodes.append(measure_node(name, source, made.spec, bench))
        about = machine()
        results = {
            "machine": about,
            "policies": [asdict(row) for row in rows],
            "nodes": [asdict(row) for row in nodes],
        }
        folder.write_results(results)
        show(rows, nodes, console)
        console.print(describe(about), highlight=False, soft_wrap=True)
        console.print(f"results.json is in {folder.path}", soft_wrap=True)


def check_ros() -> None:
    """:raises ConfigError: there is no ROS 2 here."""
    try:
        import rclpy  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"--via-ros needs ROS 2 ({error}): source one, or pip install 'samg_ros[ros]'"
        ) from error


def loaded(policies: tuple[str, ...]) -> dict[str, tuple[str, Policy]]:
    """What each is called -> what the node's parameter takes, and the policy itself.

    :raises SamgError: one cannot be used, or two would be called the same.
    """
    from policies.checkpoints import shipped_students
    from policies.registry import load_stored

    chosen: dict[str, tuple[str, Policy]] = {}
    for source in policies or tuple(shipped_students()):
        name = Path(source).name
        if name in chosen:
            raise ConfigError(f"two policies are called {name!r}; name each once")
        chosen[name] = (source, load_stored(source))
    return chosen


def show(rows: list[PolicyFigures], through: list[NodeFigures], console: Console) -> None:
    """The table."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    headings = ["policy", "a second", "ms"]
    headings += ["in node, ms", "around, ms", "lost"] if through else []
    for heading in headings:
        table.add_column(
            heading, justify="left" if heading == "policy" else "right", overflow="fold"
        )
    nodes = {node.policy: node for node in through}
    for row in rows:
        cells = [
            row.policy,
            f"{row.per_s:.0f} ({row.per_cpu_s:.0f})",
            f"{row.p50_ms:.2f} / {row.p95_ms:.2f}",
        ]
        if node := nodes.get(row.policy):
            cells += [
                f"{node.inside_p50_ms:.1f} / {node.inside_p95_ms:.1f}",
                f"{node.around_p50_ms:.1f} / {node.around_p95_ms:.1f}",
                f"{node.lost} of {node.frames}",
            ]
        table.add_row(*cells)
    console.print(table)
    console.print(NOTES, highlight=False, soft_wrap=True)
