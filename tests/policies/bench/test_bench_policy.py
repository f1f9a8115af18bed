"""``samg bench policy``: what is counted as what, on a clock that the test turns, and a run."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from eval_fixtures import CenteringPolicy

from policies.base import Observation
from policies.bench import policy as policy_speed
from policies.bench.policy import PolicyBench, Round, figures, loaded, measure, observations
from policies.checkpoints import shipped_students
from samg_ros.cli import main
from samg_ros.errors import CheckpointError, ConfigError

DOOR = "adroit_door"


class SlowPolicy(CenteringPolicy):
    """Takes longer the more it was asked, on a clock that it turns itself."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.calls, self.resets = 0.0, 0, 0

    def reset(self) -> None:
        super().reset()
        self.resets = getattr(self, "resets", 0) + 1

    def act(self, observation: Observation) -> np.ndarray:
        self.calls += 1
        self.now += 9.0 if self.calls <= 10 else 0.002
        return super().act(observation)


def test_rates_and_percentiles_are_medians_of_rounds() -> None:
    calm = Round(tuple([0.001] * 90 + [0.011] * 10), cpu_s=0.1)
    disturbed = Round((5.0,) * 100, cpu_s=70.0)
    found = figures("one", DOOR, [calm, disturbed, calm])
    assert (found.policy, found.task) == ("one", DOOR)
    assert found.per_s == pytest.approx(100 / 0.2) and found.per_cpu_s == pytest.approx(1000)
    assert found.p50_ms == pytest.approx(1.0) and found.p95_ms == pytest.approx(11.0)


def test_the_first_round_warms_up(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = SlowPolicy()
    clock = SimpleNamespace(perf_counter=lambda: policy.now, process_time=lambda: policy.now / 2)
    monkeypatch.setattr(policy_speed, "time", clock)
    found = measure("slow", policy, PolicyBench(calls=10, rounds=3))
    assert policy.calls == 40
    assert found.per_s == pytest.approx(500) and found.per_cpu_s == pytest.approx(1000)
    assert found.p50_ms == found.p95_ms == pytest.approx(2.0)


def test_observations_are_as_the_policy_meets_them() -> None:
    spec = CenteringPolicy().spec
    shown = observations(spec, seed=3)
    assert len({one.image.tobytes() for one in shown}) == len(shown) > 1
    for one in shown:
        assert one.image.shape == (spec.image_size, spec.image_size, 3)
        assert one.joints.shape == (len(spec.joint_names),)
    again = observations(spec, seed=3)
    assert all((a.image == b.image).all() for a, b in zip(shown, again, strict=True))


def test_what_is_no_policy_is_refused() -> None:
    assert list(loaded(())) == list(shipped_students())
    with pytest.raises(ConfigError, match="unknown checkpoint 'nobody'"):
        loaded(("nobody",))
    with pytest.raises(CheckpointError, match="does not act on pictures"):
        loaded(("adroit_door_teacher",))
    with pytest.raises(ConfigError, match="two policies are called 'adroit_door'"):
        loaded((DOOR, DOOR))


def test_a_run_leaves_its_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    options = ["--policies", DOOR, "--calls", "10", "--rounds", "1", "--out", str(run)]
    assert main(["bench", "policy", *options]) == 0
    said = capsys.readouterr().out
    assert DOOR in said and "in node" not in said
    results = json.loads((run / "results.json").read_text())
    (row,) = results["policies"]
    assert (row["policy"], row["task"]) == (DOOR, DOOR) and results["nodes"] == []
    assert row["per_s"] > 0 and 0 < row["p50_ms"] <= row["p95_ms"]
    assert results["machine"]["cores"] >= 1
    assert main(["bench", "policy", *options]) != 0
    assert "is not empty; name a new folder" in capsys.readouterr().err
