"""How fast policies are: from a camera's picture and joints to an action, on one thread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from policies.base import Observation, Policy, PolicySpec
from samg_ros.bench.policy_options import PolicyBench

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
