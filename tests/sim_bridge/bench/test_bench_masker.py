"""``samg bench masker``: the race, and the folder of a run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import masking_fixtures as small
import numpy as np
import pytest
import torch

from samg_ros.cli import main
from samg_ros.errors import SamgError, WeightsError
from samg_ros.masking.config import MaskerConfig
from sim_bridge.bench import contenders, masker
from sim_bridge.bench.contenders import peak_memory_mb, settle

TINY = ["--input-size", "128", "--feature-size", "56", "--reference-size", "128"]
QUICK = [*TINY, "--device", "cpu", "--precision", "fp32", "--scale-steps", "2", "--repeats", "2"]


pytestmark = pytest.mark.usefixtures("one_thread")


class Clock:
    """A time that only runs advance, on a machine that gets ``slower`` by the round."""

    def __init__(self, monkeypatch) -> None:
        self.now = 0.0
        self.slower = 1.0
        self.log: list[tuple[str, int]] = []
        monkeypatch.setattr(masker, "time", SimpleNamespace(perf_counter=lambda: self.now))

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
        seconds = masker.race([(quick, 2), (slow, 1)], self.frames, 3, advance)
        assert advanced == ["quick", "slow", "slow", "quick", "quick", "slow"]
        assert clock.log[:5] == [("quick", 2)] * 2 + [("slow", 1)] * 3
        np.testing.assert_allclose(seconds[0], [[0.2] * 2, [0.4] * 2, [0.6] * 2])
        np.testing.assert_allclose(seconds[1], [[1.0] * 3, [2.0] * 3, [3.0] * 3])
        assert masker.ratios(seconds[0], 2, seconds[1]) == pytest.approx([10, 10, 10])

    def test_figures_of_calls(self):
        found = masker.figures("masker", 4, [[0.1, 0.3], [0.2, 0.2]])
        assert found.frames_per_s == pytest.approx(20) and found.calls == 4
        assert found.latency_p50_ms == pytest.approx(200)
        assert found.latency_p95_ms == pytest.approx(285)
        assert found.mean_iou is None and found.ratio is None
        told = replace(found, ious=[0.5, 0.9], ratios=[5.0, 4.0, 9.0]).to_json()
        assert told["ratio"] == 5.0 and told["mean_iou"] == pytest.approx(0.7)

    def test_one_slow_call_does_not_decide_the_ratio(self):
        assert masker.ratios([[1, 1, 50], [2, 2, 2]], 4, [[8, 8, 8], [8, 90, 8]]) == [32, 16]

    def test_batches_are_full_and_hold_every_frame(self):
        frames = np.arange(5)[:, None]
        assert [b.ravel().tolist() for b in contenders.batches_of(frames, 2)] == [
            [0, 1],
            [2, 3],
            [4, 0],
        ]
        assert [b.ravel().tolist() for b in contenders.batches_of(frames, 7)] == [
            [0, 1, 2, 3, 4, 0, 1]
        ]

    @pytest.mark.parametrize("batch", [1, 2, 8])
    def test_every_frame_is_scored_once_against_its_own_truth(self, batch):
        truth = np.random.default_rng(0).random((3, 6, 6)) > 0.5
        frames = (truth[..., None] * np.uint8(255)).repeat(3, -1)
        assert masker.warm_up(lambda f: f[..., 0] > 0, frames, batch, truth) == [1.0] * 3
        assert masker.warm_up(lambda f: f[..., 0] == 0, frames, batch, truth) == [0.0] * 3
        assert masker.warm_up(lambda f: f[..., 0] > 0, frames, batch, None) == []


def settled(**options) -> contenders.Setup:
    return settle(MaskerConfig(device="cpu", **options), Path("reference.npz"), 512, True)


@pytest.mark.usefixtures("no_weights")
class TestSettled:
    def test_what_is_left_to_the_machine_or_the_model_is_told_by_name(self):
        tiny, mobile = settled(), settled(segmenter="mobile_sam", precision="fp32")
        assert (tiny.config.input_size, mobile.config.input_size) == (512, 1024)
        assert tiny.config.precision in ("fp32", "bf16") and mobile.config.precision == "fp32"
        assert tiny.reference_size == 512 and tiny.random_weights

    def test_the_reference_order_may_be_as_large_as_the_masker(self):
        config = MaskerConfig(device="cpu", input_size=128)
        assert settle(config, Path("reference.npz"), 0, True).reference_size == 128


@pytest.fixture
def reference(tmp_path) -> Path:
    small.one_view().save(tmp_path / "reference.npz")
    return tmp_path / "reference.npz"


@pytest.fixture
def made(monkeypatch) -> list[str]:
    """Frames without a simulator; the tasks they were asked for."""
    asked: list[str] = []

    def frames(task: str, perturb: str, size: int, seeds: range, count: int):
        asked.append(task)
        empty = np.zeros((size, size), bool)
        return [
            SimpleNamespace(rgb=small.scene(seed + i, size, size), truth=empty, seed=seed)
            for seed in seeds
            for i in range(count)
        ]

    monkeypatch.setattr("sim_bridge.bench.masks.truth_frames", frames)
    return asked


@pytest.fixture
def no_weights(monkeypatch) -> None:
    """No weights can be had; and a small second map for the reference order, to be quick."""

    def resolve(name: str, path=None, log=print):
        raise WeightsError(f"{name}: no source could give it.\n  a second line")

    monkeypatch.setattr(contenders.resolve, "resolve", resolve)
    monkeypatch.setattr(contenders, "FEATURE_SIZE", 56)


def bench(reference: Path, out: Path, *options: str) -> int:
    few = ["--episodes", "1", "--frames", "2", "--size", "48"]
    where = ["--reference", str(reference), "--out", str(out)]
    return main(["bench", "masker", *where, *few, *QUICK, *options])


def results(out: Path) -> dict:
    return json.loads((out / "results.json").read_text())


class TestRun:
    def test_speed_with_random_weights_is_measured_and_labelled(
        self, reference, made, no_weights, tmp_path, capsys
    ):
        out = tmp_path / "run"
        options = ["--batches", "1", "3", "--random-weights", "--no-memory"]
        assert bench(reference, out, *options) == 0
        found = results(out)
        assert found["weights"] == "random" and found["machine"]["cores"] >= 1
        order, *rows = found["rows"]
        assert (order["contender"], order["batch"], order["calls"]) == ("reference order", 1, 4)
        assert order["ratio"] is None
        assert [(row["contender"], row["batch"]) for row in rows] == [("masker", 1), ("masker", 3)]
        assert [row["calls"] for row in rows] == [4, 2]
        for row in rows:
            assert row["mean_iou"] is None and row["peak_memory_mb"] is None
            assert len(row["ratios"]) == 2 and row["ratio"] > 0 and row["frames_per_s"] > 0
        config = json.loads((out / "config.json").read_text())
        assert config["settings"]["masker"]["input_size"] == 128
        assert config["command"].startswith("samg bench masker --reference ")
        assert "random weights" in capsys.readouterr().out
        assert made == ["adroit_door"]
        assert bench(reference, out, *options) == 1
        assert "not empty" in capsys.readouterr().err

    def test_missing_weights_are_a_reason_and_no_figures(
        self, reference, made, no_weights, tmp_path, capsys
    ):
        out = tmp_path / "run"
        assert bench(reference, out) == 1
        said = capsys.readouterr().err
        assert "sam2_hiera_tiny: no source could give it" in said and "--random-weights" in said
        assert made == [] and not out.exists()

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (["--segmenter", "sam9"], "unknown model 'sam9'"),
            (["--segmenter", "dinov2_small"], "cannot be the segmenter"),
            (["--features", "sam2_hiera_tiny"], "cannot be the features"),
            (["--input-size", "130"], "multiple of 32"),
            (["--reference-size", "130"], "multiple of 32"),
            (["--feature-size", "60"], "multiple of 14"),
            (["--precision", "fp16"], "'fp16' is unusably slow on a CPU"),
            (["--device", "abacus"], "device 'abacus' cannot be used here"),
            (["--batches", "1", "0"], "at least 1"),
            (["--batches"], "batches is empty"),
            (["--repeats", "0"], "repeats is 0"),
            (["--reference", "nowhere.npz"], "no reference 'nowhere.npz'"),
        ],
    )
    def test_what_cannot_be_measured_is_refused_before_anything_is_made(
        self, options, said, reference, made, no_weights, tmp_path, capsys
    ):
        out = tmp_path / "run"
        assert bench(reference, out, *options) == 1
        assert said in " ".join(capsys.readouterr().err.split())
        assert made == [] and not out.exists()

    @pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without CUDA")
    def test_a_gpu_that_is_not_there_is_refused(self, reference, made, tmp_path, capsys):
        assert bench(reference, tmp_path / "run", "--device", "cuda") == 1
        assert "device 'cuda' cannot be used here" in capsys.readouterr().err


class TestMemory:
    def tiny(self, reference: Path) -> contenders.Setup:
        own = {"device": "cpu", "precision": "fp32", "input_size": 128, "feature_size": 56}
        config = MaskerConfig(**own, scale_steps=1, threads=1)
        return contenders.Setup(config, str(reference), 128, random_weights=True)

    def test_a_process_of_its_own_tells_the_peak_by_batch_size(self, reference):
        rgb = np.stack([small.scene(seed, 48, 48) for seed in range(2)])
        peaks = peak_memory_mb(self.tiny(reference), "masker", rgb, (16, 1))
        assert set(peaks) == {1, 16}
        # 39 M numbers of SAM 2 tiny and 22 M of DINOv2-S, 4 bytes each.
        assert 200 < peaks[1] < 1500 and peaks[16] > peaks[1]

    def test_a_child_that_fails_says_why(self, tmp_path):
        rgb = np.zeros((1, 48, 48, 3), np.uint8)
        with pytest.raises(SamgError, match=r"nothing\.npz"):
            peak_memory_mb(self.tiny(tmp_path / "nothing.npz"), "masker", rgb, (1,))


def test_the_reference_order_looks_at_dinov2s_map_whatever_the_masker_does(monkeypatch):
    asked = []
    monkeypatch.setattr(contenders.resolve, "resolve", lambda name, *_, **__: asked.append(name))
    setup = settle(MaskerConfig(features="none", device="cpu"), Path("reference.npz"), 512, False)
    assert asked == ["sam2_hiera_tiny", "dinov2_small"] and not setup.random_weights
