"""The race of ``samg bench masker``: turns, figures, batches and rows."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from sim_bridge.bench import race
from sim_bridge.bench.race import Configuration, Figures, Row


class Clock:
    """A time that only runs advance, on a machine that gets ``slower`` by the round."""

    def __init__(self, monkeypatch) -> None:
        self.now = 0.0
        self.slower = 1.0
        self.log: list[tuple[str, int]] = []
        monkeypatch.setattr(race, "time", SimpleNamespace(perf_counter=lambda: self.now))

    def contender(self, name: str, seconds_a_frame: float):
        def run(frames: np.ndarray) -> np.ndarray:
            self.log.append((name, len(frames)))
            self.now += seconds_a_frame * len(frames) * self.slower
            return np.zeros(frames.shape[:3], bool)

        return run


class TestRace:
    frames = np.zeros((3, 4, 4, 3), np.uint8)

    def test_contenders_take_turns_and_a_drift_of_the_machine_cancels(self, monkeypatch):
        clock = Clock(monkeypatch)
        quick, slow = clock.contender("quick", 0.1), clock.contender("slow", 1.0)

        def advance() -> None:
            advanced.append(clock.log[-1][0])
            clock.slower = 1.0 + len(advanced) // 2  # twice, three times as slow by the round

        advanced: list[str] = []
        seconds = race.race([(quick, 2), (slow, 1)], self.frames, 3, advance)
        assert advanced == ["quick", "slow", "slow", "quick", "quick", "slow"]
        assert clock.log[:5] == [("quick", 2)] * 2 + [("slow", 1)] * 3
        np.testing.assert_allclose(seconds[0], [[0.2] * 2, [0.4] * 2, [0.6] * 2])
        np.testing.assert_allclose(seconds[1], [[1.0] * 3, [2.0] * 3, [3.0] * 3])
        assert race.ratios(seconds[0], 2, seconds[1]) == pytest.approx([10, 10, 10])

    def test_figures_of_calls(self):
        found = race.figures([[0.1, 0.3], [0.2, 0.2]], 4, [0.5, 0.7], 12.0)
        assert found.frames_per_s == pytest.approx(20) and found.calls == 4
        assert found.latency_p50_ms == pytest.approx(200)
        assert found.latency_p95_ms == pytest.approx(285)
        assert found.mean_iou == pytest.approx(0.6)

    def test_one_slow_call_does_not_decide_the_ratio(self):
        assert race.ratios([[1, 1, 50], [2, 2, 2]], 4, [[8, 8, 8], [8, 90, 8]]) == [32, 16]

    def test_batches_are_full_and_hold_every_frame(self):
        frames = np.arange(5)[:, None]
        assert [b.ravel().tolist() for b in race.batches_of(frames, 2)] == [
            [0, 1],
            [2, 3],
            [4, 0],
        ]
        assert [b.ravel().tolist() for b in race.batches_of(frames, 7)] == [[0, 1, 2, 3, 4, 0, 1]]

    @pytest.mark.parametrize("batch", [1, 2, 8])
    def test_every_frame_is_scored_once_against_its_own_truth(self, batch):
        truth = np.random.default_rng(0).random((3, 6, 6)) > 0.5
        frames = (truth[..., None] * np.uint8(255)).repeat(3, -1)
        assert race.warm_up(lambda f: f[..., 0] > 0, frames, batch, truth) == [1.0] * 3
        assert race.warm_up(lambda f: f[..., 0] == 0, frames, batch, truth) == [0.0] * 3
        assert race.warm_up(lambda f: f[..., 0] > 0, frames, batch, None) == []

    def test_a_row_survives_json(self):
        named = Configuration("sam", "dino", 128, 112, "fp32", "cpu")
        quick = Figures(10.0, 100.0, 120.0, 8, [0.5, 0.9], 300.0)
        row = Row(named, 2, "real", quick, Figures(2.0, 500.0, 510.0, 8), [5.0, 4.0, 9.0])
        entry = json.loads(json.dumps(row.to_json()))
        assert Row.from_json(entry) == row
        assert entry["ratio"] == 5.0 and entry["mean_iou"] == pytest.approx(0.7)
        assert entry["reference_mean_iou"] is None
