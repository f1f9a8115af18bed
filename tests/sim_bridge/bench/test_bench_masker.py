"""``samg bench masker``: the race, and the folder of a run."""

from __future__ import annotations

import json
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
from sim_bridge.bench.contenders import (
    MaskerBench,
    Request,
    configurations,
    missing_weights,
    peak_memory_mb,
    settings,
)

TINY = ["--input-size", "128", "--feature-size", "56", "--reference-size", "128"]
QUICK = [*TINY, "--device", "cpu", "--precision", "fp32", "--scale-steps", "2", "--repeats", "2"]


pytestmark = pytest.mark.usefixtures("one_thread")


class TestOptions:
    def test_every_combination_and_an_empty_list_is_the_maskers_own(self):
        bench = MaskerBench(input_sizes=(128, 160), precisions=("fp32", "bf16"), devices=("cpu",))
        found = configurations(bench, MaskerConfig(feature_size=112))
        assert [(c.input_size, c.precision, c.device) for c in found] == [
            (128, "fp32", "cpu"),
            (128, "bf16", "cpu"),
            (160, "fp32", "cpu"),
            (160, "bf16", "cpu"),
        ]
        assert {(c.segmenter, c.feature_size) for c in found} == {("sam2_hiera_tiny", 112)}

    def test_auto_is_told_by_name_and_not_measured_twice(self):
        bench = MaskerBench(devices=("cpu", "cpu"), precisions=("auto", "fp32", "bf16"))
        found = configurations(bench, MaskerConfig())
        assert {c.precision for c in found} == {"fp32", "bf16"} and len(found) == 2

    def test_a_size_left_to_the_model_is_told_and_not_measured_twice(self):
        bench = MaskerBench(
            segmenters=("sam2_hiera_tiny", "mobile_sam"), input_sizes=(0, 512), devices=("cpu",)
        )
        found = configurations(bench, MaskerConfig())
        assert [(c.segmenter, c.input_size) for c in found] == [
            ("sam2_hiera_tiny", 512),
            ("mobile_sam", 1024),
            ("mobile_sam", 512),
        ]

    def test_what_is_varied_is_no_part_of_what_a_folder_has_in_common(self):
        one = settings(MaskerBench(batches=(1,)), MaskerConfig())
        assert one == settings(MaskerBench(batches=(8,)), MaskerConfig(input_size=256))
        assert one != settings(MaskerBench(), MaskerConfig(refine_steps=1))
        assert one != settings(MaskerBench(seed=1), MaskerConfig())


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

    monkeypatch.setattr(masker, "truth_frames", frames)
    return asked


@pytest.fixture
def no_weights(monkeypatch) -> None:
    """No weights can be had; and a small second map for the reference order, to be quick."""

    def resolve(name: str, path=None, log=print):
        raise WeightsError(f"{name}: no source could give it.\n  a second line")

    monkeypatch.setattr(contenders.weights, "resolve", resolve)
    monkeypatch.setattr(contenders, "FEATURE_SIZE", 56)


def bench(reference: Path, out: Path, *options: str) -> int:
    few = ["--episodes", "1", "--frames", "2", "--size", "48"]
    where = ["--reference", str(reference), "--out", str(out)]
    return main(["bench", "masker", *where, *few, *QUICK, *options])


def results(out: Path) -> dict:
    return json.loads((out / "results.json").read_text())


class TestRun:
    def test_speed_with_random_weights_is_measured_labelled_and_resumed(
        self, reference, made, no_weights, tmp_path, capsys
    ):
        out = tmp_path / "run"
        options = ["--random-weights", "--no-memory"]
        assert bench(reference, out, "--batches", "1", "3", *options) == 0
        rows = results(out)["rows"]
        assert [row["batch"] for row in rows] == [1, 3]
        for row in rows:
            assert row["weights"] == "random" and row["mean_iou"] is None
            assert len(row["ratios"]) == 2 and row["ratio"] > 0
            assert row["masker"]["calls"] == {1: 4, 3: 2}[row["batch"]]
            assert row["reference"]["calls"] == 4
            assert row["masker"]["peak_memory_mb"] is None
            assert row["masker"]["frames_per_s"] > 0
        # Both batch sizes ran in turn with one and the same reference order.
        assert rows[0]["reference"] == rows[1]["reference"]
        assert (out / "speed.png").stat().st_size > 1000
        assert json.loads((out / "config.json").read_text())["bench.frames"] == 2
        assert "random weights" in capsys.readouterr().out
        assert made == ["adroit_door"]

        assert bench(reference, out, "--batches", "1", "2", *options) == 0
        again = results(out)["rows"]
        assert again[:2] == rows and [row["batch"] for row in again] == [1, 3, 2]
        assert made == ["adroit_door"]

    def test_missing_weights_are_a_reason_and_no_figures(
        self, reference, made, no_weights, tmp_path, capsys
    ):
        out = tmp_path / "run"
        names = ["--segmenters", "sam2_hiera_tiny", "efficientvit_sam_l0"]
        assert bench(reference, out, "--batches", "2", *names) == 0
        found = results(out)
        assert found["rows"] == [] and not (out / "speed.png").exists()
        assert [p["configuration"]["segmenter"] for p in found["problems"]] == names[1:]
        reason = "no weights: efficientvit_sam_l0: no source could give it."
        assert found["problems"][1]["reason"] == reason
        assert "no source could give it" in " ".join(capsys.readouterr().out.split())

    def test_another_runs_folder_is_refused(self, reference, made, no_weights, tmp_path, capsys):
        out = tmp_path / "run"
        assert bench(reference, out) == 0
        assert bench(reference, out, "--refine-steps", "1") == 1
        assert "other settings (masker.refine_steps)" in capsys.readouterr().err
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "notes.txt").write_text("mine")
        assert bench(reference, tmp_path / "full") == 1
        assert "not empty" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (["--segmenters", "sam9"], "unknown model 'sam9'"),
            (["--segmenters", "dinov2_small"], "cannot be the segmenter"),
            (["--features", "sam2_hiera_tiny"], "cannot be the features"),
            (["--input-sizes", "128", "130"], "multiple of 32"),
            (["--reference-size", "130"], "multiple of 32"),
            (["--feature-sizes", "60"], "multiple of 14"),
            (["--precisions", "fp8"], "fp8"),
            (["--precisions", "fp16", "--device", "cpu"], "'fp16' is unusably slow on a CPU"),
            (["--devices", "cpu", "abacus"], "device 'abacus' cannot be used here"),
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
        assert bench(reference, tmp_path / "run", "--devices", "cuda") == 1
        assert "device 'cuda' cannot be used here" in capsys.readouterr().err


class TestMemory:
    def request(self, reference: Path, tmp_path: Path, **changed) -> Request:
        rgb = np.stack([small.scene(seed, 48, 48) for seed in range(2)])
        np.savez(tmp_path / "frames.npz", rgb=rgb)
        own = {"device": "cpu", "precision": "fp32", "input_size": 128, "feature_size": 56}
        return Request(
            **{
                "contender": "masker",
                "config": {**own, "scale_steps": 1, "threads": 1},
                "reference": str(reference),
                "frames": str(tmp_path / "frames.npz"),
                "batches": (16, 1),
                "random_weights": True,
                "input_size": 128,
                **changed,
            }
        )

    def test_a_process_of_its_own_tells_the_peak_by_batch_size(self, reference, tmp_path):
        peaks = peak_memory_mb(self.request(reference, tmp_path))
        assert set(peaks) == {1, 16}
        # 39 M numbers of SAM 2 tiny and 22 M of DINOv2-S, 4 bytes each.
        assert 200 < peaks[1] < 1500 and peaks[16] > peaks[1]

    def test_a_child_that_fails_says_why(self, tmp_path):
        request = self.request(tmp_path / "nothing.npz", tmp_path)
        with pytest.raises(SamgError, match=r"nothing\.npz"):
            peak_memory_mb(request)


def test_weights_that_can_be_had_are_not_missing(monkeypatch):
    asked = []
    monkeypatch.setattr(contenders.weights, "resolve", lambda name, *_, **__: asked.append(name))
    assert missing_weights(MaskerConfig(features="none")) == ""
    # The reference order looks at DINOv2's map whatever the masker does.
    assert asked == ["sam2_hiera_tiny", "dinov2_small"]
