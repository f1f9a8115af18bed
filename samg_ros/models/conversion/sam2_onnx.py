"""SAM 2 Hiera-Tiny out of an ORT encoder and an ONNX decoder, checked against both."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from samg_ros.errors import WeightsError
from samg_ros.models.conversion import numerics, onnx_runtime
from samg_ros.models.conversion.sam2_decoder import read_decoder
from samg_ros.models.conversion.sam2_encoder import read_encoder
from samg_ros.models.conversion.state import require_same_tensors, sam2_model

if TYPE_CHECKING:
    from samg_ros.models.conversion.state import State

TOOLS = onnx_runtime.NEEDED
ABSENT_HEAD = "mask_decoder.pred_obj_score_head."
CHECK_SIDE = 1024  # the encoder's fixed input size, px
CHECK_POINT = (410.0, 563.0)  # inside the check image's disc: x, y in px
FEATURES = ("high_res_feats_0", "high_res_feats_1", "image_embed")


def convert(files: tuple[Path, ...], out: Path) -> dict[str, Any]:
    """Convert (encoder ``.ort``, decoder ``.onnx``); check the features and a prompt's logits.

    :raises WeightsError: the files are not that model, or the check failed.
    """
    encoder, decoder = files
    state = read_state(encoder, decoder)
    image = numerics.check_image(CHECK_SIDE)
    expected = run_original(encoder, decoder, image)

    def errors(candidate: State) -> dict[str, float]:
        ours = run_converted(candidate, image)
        return {name: numerics.relative_error(ours[name], expected[name]) for name in expected}

    return numerics.store_checked(state, errors, out)


def read_state(encoder: Path, decoder: Path) -> State:
    """All tensors of ``transformers.Sam2Model``, float32.

    :raises WeightsError: one is absent or has another shape.
    """
    import torch

    model = sam2_model()
    state = {**read_encoder(encoder), **read_decoder(decoder)}
    for name, tensor in model.state_dict().items():
        if name.startswith(ABSENT_HEAD):
            # Pruned from the export because no mask depends on it.
            state.setdefault(name, torch.zeros_like(tensor))
    require_same_tensors(state, model, f"{encoder.name} with {decoder.name}")
    return state


def run_original(encoder: Path, decoder: Path, image: np.ndarray) -> dict[str, np.ndarray]:
    """Features, mask logits (1 x 3 x 256 x 256) and scores of the original for one point."""
    outputs = onnx_runtime.session(str(encoder)).run(list(FEATURES), {"image": image})
    features = dict(zip(FEATURES, outputs, strict=True))
    prompt = {
        "point_coords": np.array([[CHECK_POINT]], dtype=np.float32),
        "point_labels": np.ones((1, 1), dtype=np.float32),
        "mask_input": np.zeros((1, 1, 256, 256), dtype=np.float32),
        "has_mask_input": np.zeros(1, dtype=np.float32),
    }
    names = ["masks", "iou_predictions"]
    masks, scores = onnx_runtime.session(str(decoder)).run(names, {**features, **prompt})
    if not (masks > 0).any():
        raise WeightsError(f"{decoder.name} finds nothing in the check image: not SAM 2?")
    return {**features, "masks": masks, "scores": scores}


def run_converted(state: State, image: np.ndarray) -> dict[str, np.ndarray]:
    """The same outputs from ``transformers.Sam2Model`` with ``state``."""
    import torch

    model = sam2_model()
    model.load_state_dict(state)
    with torch.inference_mode():
        embeddings = model.get_image_embeddings(torch.from_numpy(image))
        result = model(
            image_embeddings=embeddings,
            input_points=torch.tensor([[[CHECK_POINT]]]),
            input_labels=torch.ones(1, 1, 1, dtype=torch.int64),
            multimask_output=True,
        )
    features = {n: e.numpy() for n, e in zip(FEATURES, embeddings, strict=True)}
    masks, scores = result.pred_masks[0].numpy(), result.iou_scores[0].numpy()
    return {**features, "masks": masks, "scores": scores}
