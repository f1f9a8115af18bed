"""Conversions: names, the position embedding, and files that are not what they should be."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from samg_ros.errors import WeightsError
from samg_ros.weights import cache, catalogue
from samg_ros.weights.conversion import dinov2, sam2, state
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
    coarse, window = sam2.split_position_embedding(total).values()
    assert torch.allclose(folded(coarse, window), total, atol=1e-5)


def test_what_is_no_position_embedding_is_refused():
    with pytest.raises(WeightsError, match="cannot be taken apart"):
        sam2.split_position_embedding(torch.randn(2, 256, 256))


@pytest.mark.parametrize(
    ("rules", "name", "expected"),
    [
        (
            sam2.ENCODER_NAMES,
            "model.image_encoder.trunk.blocks.3.mlp.layers.1.weight",
            "vision_encoder.backbone.blocks.3.mlp.proj_out.weight",
        ),
        (
            sam2.ENCODER_NAMES,
            "model.image_encoder.trunk.blocks.0.norm2.bias",
            "vision_encoder.backbone.blocks.0.layer_norm2.bias",
        ),
        (
            sam2.DECODER_NAMES,
            "output_hypernetworks_mlps.2.layers.1.bias",
            "output_hypernetworks_mlps.2.layers.0.bias",
        ),
        (
            sam2.DECODER_NAMES,
            "transformer.layers.1.mlp.layers.0.weight",
            "transformer.layers.1.mlp.proj_in.weight",
        ),
    ],
)
def test_renaming(rules, name, expected):
    assert rename(name, rules) == expected


def test_hub_names_become_todays():
    old = "encoder.layer.4.attention.attention.query.weight"
    assert rename(old, dinov2.NAMES) == "encoder.layer.4.attention.q_proj.weight"
    assert rename("layernorm.bias", dinov2.NAMES) == "layernorm.bias"


def test_hub_file_of_the_video_model_keeps_the_image_models_part(tmp_path, monkeypatch):
    monkeypatch.setattr(sam2, "image_model", lambda *_: linear())
    source, out = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    save_file({**WEIGHT, "memory_encoder.weight": torch.ones(3)}, source)
    sam2.from_hub((source,), out)
    kept = load_file(out)
    assert kept.keys() == WEIGHT.keys() and torch.equal(kept["weight"], WEIGHT["weight"])
    save_file({"weight": WEIGHT["weight"]}, source)
    with pytest.raises(WeightsError, match=r"missing \['bias'\]"):
        sam2.from_hub((source,), out)


def test_other_shapes_are_refused():
    with pytest.raises(WeightsError, match=r"other shape \['bias'\]"):
        state.require_same_tensors({**WEIGHT, "bias": torch.ones(5)}, linear(), "file")


@pytest.mark.parametrize(
    ("read", "name"),
    [
        (dinov2.read_backbone, "model.onnx"),
        (sam2.read_decoder, "decoder.onnx"),
        (sam2.read_encoder, "encoder.ort"),
    ],
)
@pytest.mark.parametrize("content", [b"no model", b"", bytes(64)], ids=["text", "empty", "zeros"])
def test_a_file_that_is_no_model_is_refused(tmp_path, read, name, content):
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(WeightsError):
        read(file)


@pytest.mark.parametrize("name", ["sam2_hiera_tiny", "dinov2_small"])
def test_cached_weights_fit_their_model(name):
    """With the real weights, where `samg weights fetch` has put them."""
    entry = cache.look(catalogue.get(name), full=True)
    if entry.state != "whole":
        pytest.skip(f"{entry.path}: {entry.state}; run `samg weights fetch`")
    model = {"sam2_hiera_tiny": sam2.model_of, "dinov2_small": dinov2.model_of}[name]()
    state.require_same_tensors(load_file(entry.path), model, entry.path.name)
