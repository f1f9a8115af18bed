"""Conversions: names, the position embedding, and a check that refuses what does not agree."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from samg_ros.errors import WeightsError
from samg_ros.weights import cache, catalogue
from samg_ros.weights.conversion import (
    convert,
    dinov2_hub,
    numerics,
    onnx_runtime,
    require_tools,
    sam2_hub,
    sam2_onnx,
    state,
)
from samg_ros.weights.conversion.state import rename

WEIGHT = {"weight": torch.arange(6.0).reshape(2, 3) / 7, "bias": torch.ones(2)}


def linear() -> torch.nn.Module:
    """A model of two tensors."""
    return torch.nn.Linear(3, 2)


def folded(coarse: torch.Tensor, window: torch.Tensor) -> torch.Tensor:
    """The exporter's sum of the two position embeddings."""
    large = torch.nn.functional.interpolate(coarse, size=(256, 256), mode="bicubic")
    return (large + window.repeat(1, 1, 32, 32))[0]


def test_the_position_embedding_comes_apart_and_together_again():
    torch.manual_seed(0)
    total = folded(torch.randn(1, 2, 7, 7), torch.randn(1, 2, 8, 8))
    coarse, window = sam2_onnx.split_position_embedding(total).values()
    assert torch.allclose(folded(coarse, window), total, atol=1e-5)


def test_what_is_no_position_embedding_is_refused():
    with pytest.raises(WeightsError, match="cannot be taken apart"):
        sam2_onnx.split_position_embedding(torch.randn(2, 256, 256))


@pytest.mark.parametrize(
    ("rules", "name", "expected"),
    [
        (
            sam2_onnx.ENCODER_NAMES,
            "model.image_encoder.trunk.blocks.3.mlp.layers.1.weight",
            "vision_encoder.backbone.blocks.3.mlp.proj_out.weight",
        ),
        (
            sam2_onnx.ENCODER_NAMES,
            "model.image_encoder.trunk.blocks.0.norm2.bias",
            "vision_encoder.backbone.blocks.0.layer_norm2.bias",
        ),
        (
            sam2_onnx.DECODER_NAMES,
            "output_hypernetworks_mlps.2.layers.1.bias",
            "output_hypernetworks_mlps.2.layers.0.bias",
        ),
        (
            sam2_onnx.DECODER_NAMES,
            "transformer.layers.1.mlp.layers.0.weight",
            "transformer.layers.1.mlp.proj_in.weight",
        ),
    ],
)
def test_renaming(rules, name, expected):
    assert rename(name, rules) == expected


def test_hub_names_become_todays():
    old = "encoder.layer.4.attention.attention.query.weight"
    assert dinov2_hub.rename(old) == "encoder.layer.4.attention.q_proj.weight"
    assert dinov2_hub.rename("layernorm.bias") == "layernorm.bias"


def test_hub_file_of_the_video_model_keeps_the_image_models_part(tmp_path, monkeypatch):
    monkeypatch.setattr(sam2_hub, "image_model", lambda *_: linear())
    source, out = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    save_file({**WEIGHT, "memory_encoder.weight": torch.ones(3)}, source)
    assert convert("sam2_hub", (source,), out) == {"precision": "float32"}
    assert load_file(out).keys() == WEIGHT.keys()
    save_file({"weight": WEIGHT["weight"]}, source)
    with pytest.raises(WeightsError, match=r"missing \['bias'\]"):
        convert("sam2_hub", (source,), out)


def test_other_shapes_are_refused():
    with pytest.raises(WeightsError, match=r"other shape \['bias'\]"):
        state.require_same_tensors({**WEIGHT, "bias": torch.ones(5)}, linear(), "file")


def output_errors(candidate: dict) -> dict[str, float]:
    """How far the layer's output is from that of the true weights."""
    x = np.array([1.0, -2.0, 3.0])
    outputs = [s["weight"].numpy() @ x + s["bias"].numpy() for s in (candidate, WEIGHT)]
    return {"output": numerics.relative_error(*outputs)}


def test_a_conversion_that_agrees_is_stored_as_float16(tmp_path):
    out = tmp_path / "out.safetensors"
    report = numerics.store_checked(WEIGHT, output_errors, out)
    assert report["precision"] == "float16"
    assert 0 < report["error_stored"] <= report["tolerance_stored"]
    assert load_file(out)["weight"].dtype == torch.float16


def test_what_float16_rounds_too_much_is_stored_as_float32(tmp_path):
    out = tmp_path / "out.safetensors"

    def errors(candidate: dict) -> dict[str, float]:
        exact = torch.equal(candidate["weight"], WEIGHT["weight"])
        return {"output": 1e-6 if exact else 0.1}

    assert numerics.store_checked(WEIGHT, errors, out)["precision"] == "float32"
    assert torch.equal(load_file(out)["weight"], WEIGHT["weight"])


@pytest.mark.parametrize("wrong", [WEIGHT["weight"].flip(0), WEIGHT["weight"] * float("nan")])
def test_a_conversion_that_does_not_agree_is_refused(tmp_path, wrong):
    out = tmp_path / "out.safetensors"
    with pytest.raises(WeightsError, match="does not agree with the original"):
        numerics.store_checked({**WEIGHT, "weight": wrong}, output_errors, out)
    assert not out.exists()


def test_the_check_image_has_something_to_segment():
    image = numerics.check_image(64)
    assert image.shape == (1, 3, 64, 64)
    assert image.dtype == np.float32
    assert image.std() > 0.5


def test_a_missing_tool_is_named():
    with pytest.raises(WeightsError, match=r"pip install samg_ros\[weights\]"):
        onnx_runtime.require("onnx_that_is_not_installed")


def test_tools_are_asked_for_before_the_download(monkeypatch):
    monkeypatch.setattr("samg_ros.weights.conversion.sam2_onnx.TOOLS", ("no_such_tool",))
    with pytest.raises(WeightsError, match="no_such_tool"):
        require_tools("sam2_onnx")
    require_tools("sam2_hub")


def test_a_file_that_is_no_model_is_refused(tmp_path):
    pytest.importorskip("onnxruntime")
    file = tmp_path / "model.onnx"
    file.write_bytes(b"no model")
    with pytest.raises(WeightsError, match="cannot load the model"):
        onnx_runtime.session(str(file))


@pytest.mark.parametrize("name", ["sam2_hiera_tiny", "dinov2_small"])
def test_cached_weights_fit_their_model(name):
    """With the real weights, where `samg weights fetch` has put them."""
    entry = cache.look(catalogue.get(name))
    if entry.state != "whole":
        pytest.skip(f"{entry.path}: {entry.state}; run `samg weights fetch`")
    model = {"sam2_hiera_tiny": state.sam2_model, "dinov2_small": state.dinov2_model}[name]()
    state.require_same_tensors(load_file(entry.path), model, entry.path.name)
    if "error_stored" in entry.record["conversion"]:
        check = entry.record["conversion"]
        assert check["error_stored"] <= check["tolerance_stored"]
