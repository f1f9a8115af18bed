"""SAM 2 Hiera-Tiny out of an ORT encoder and an ONNX decoder, checked against both."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from samg_ros.errors import WeightsError
from samg_ros.weights.conversion import onnx_runtime
from samg_ros.weights.conversion.state import rename

if TYPE_CHECKING:
    import torch

    from samg_ros.weights.conversion.state import State
import re
from typing import TYPE_CHECKING

import numpy as np

from samg_ros.weights.conversion import numerics
from samg_ros.weights.conversion.state import require_same_tensors, sam2_model

if TYPE_CHECKING:
    from samg_ros.weights.conversion.state import State


DECODER, PROMPT = "mask_decoder.", "prompt_encoder."
HEADS = r"(output_hypernetworks_mlps\.\d|iou_prediction_head)"
DECODER_NAMES = (
    (r"out_proj", "o_proj"),
    (r"layers\.(\d)\.norm(\d)", r"layers.\1.layer_norm\2"),
    (r"norm_final_attn", "layer_norm_final_attn"),
    (r"\.mlp\.layers\.0", ".mlp.proj_in"),
    (r"\.mlp\.layers\.1", ".mlp.proj_out"),
    (HEADS + r"\.layers\.0", r"\1.proj_in"),
    (HEADS + r"\.layers\.1", r"\1.layers.0"),
    (HEADS + r"\.layers\.2", r"\1.proj_out"),
    (r"output_upscaling\.0", "upscale_conv1"),
    (r"output_upscaling\.3", "upscale_conv2"),
)
MASK_CONVOLUTIONS = {"0": "conv1", "3": "conv2", "6": "conv3"}
# The exporter split layer norms over channels into a product and a sum with unnamed constants.
CHANNEL_NORMS = {
    "mask_downscaling.1": f"{PROMPT}mask_embed.layer_norm1",
    "mask_downscaling.4": f"{PROMPT}mask_embed.layer_norm2",
    "output_upscaling.1": f"{DECODER}upscale_layer_norm",
}
UNNAMED = "onnx::"


def read_decoder(path: Path) -> State:
    """Prompt encoder and mask decoder in transformers' names, float32, less the object score.

    :raises WeightsError: the file is not this decoder.
    """
    import torch

    onnx = onnx_runtime.require("onnx")
    export = onnx.load(str(path))
    tensors = {
        t.name: torch.from_numpy(onnx.numpy_helper.to_array(t).copy())
        for t in export.graph.initializer
    }
    try:
        state = _prompt_embeddings(tensors)
        for name, tensor in tensors.items():
            state.update(_named(name, tensor))
        for node in export.graph.node:
            for name in node.input:
                if name in tensors and name.startswith(UNNAMED):
                    state.update(_unnamed(node, tensors[name]))
    except (KeyError, IndexError, RuntimeError) as error:
        raise WeightsError(f"{path.name} is not the SAM 2 decoder: {error!r}") from error
    return state


def _prompt_embeddings(tensors: State) -> State:
    """The Gaussian matrix that encodes positions, and the embeddings of the point labels."""
    import torch

    gaussian = tensors[f"{PROMPT}pe_layer.positional_encoding_gaussian_matrix"]
    labels = [tensors[f"{PROMPT}point_embeddings.{label}.weight"] for label in range(4)]
    return {
        f"{PROMPT}shared_embedding.positional_embedding": gaussian,
        "shared_image_embedding.positional_embedding": gaussian.clone(),
        f"{PROMPT}point_embed.weight": torch.cat(labels),
        f"{PROMPT}not_a_point_embed.weight": tensors[f"{PROMPT}not_a_point_embed.weight"],
    }


def _named(name: str, tensor: torch.Tensor) -> State:
    """A constant that kept its name in the export."""
    if name.startswith(DECODER):
        return {DECODER + rename(name.removeprefix(DECODER), DECODER_NAMES): tensor}
    if "mask_downscaling" in name:
        layer, kind = name.split(".")[-2:]
        return {f"{PROMPT}mask_embed.{MASK_CONVOLUTIONS[layer]}.{kind}": tensor}
    return {}


def _unnamed(node: Any, tensor: torch.Tensor) -> State:
    """A constant without a name: what it is follows from the node that uses it."""
    path = node.name.strip("/")
    if node.op_type == "MatMul":
        layer = rename(path.removesuffix("/MatMul").replace("/", "."), DECODER_NAMES)
        return {f"{DECODER}{layer}.weight": tensor.t()}
    if "mask_downscaling" in path or "output_upscaling" in path:
        kind = "weight" if node.op_type == "Mul" else "bias"
        return {f"{CHANNEL_NORMS[path.split('/')[-2]]}.{kind}": tensor.flatten()}
    if node.op_type == "Expand":
        # The output tokens, joined: object score, predicted IoU, four masks.
        tokens = tensor[0]
        return {
            f"{DECODER}obj_score_token.weight": tokens[0:1].clone(),
            f"{DECODER}iou_token.weight": tokens[1:2].clone(),
            f"{DECODER}mask_tokens.weight": tokens[2:6].clone(),
        }
    if node.op_type == "Mul" and tuple(tensor.shape) == (1, 256, 1, 1):
        return {f"{PROMPT}no_mask_embed.weight": tensor.reshape(1, 256)}
    return {}


SCHEMA = "onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs.InferenceSession"
FLOAT = 1  # TensorDataType.FLOAT of the schema
BACKBONE = "vision_encoder.backbone."
POSITION = "/image_encoder/trunk/Transpose_output_0"
POSITION_SIDE, GLOBAL_SIDE, WINDOW_SIDE = 256, 7, 8
POSITION_TOLERANCE = 1e-5

ENCODER_NAMES = (
    (r"^model\.image_encoder\.neck\.convs\.(\d)\.conv\.", r"vision_encoder.neck.convs.\1."),
    (r"^model\.image_encoder\.trunk\.patch_embed\.proj\.", f"{BACKBONE}patch_embed.projection."),
    (r"^model\.image_encoder\.trunk\.blocks\.", f"{BACKBONE}blocks."),
    (r"^model\.sam_mask_decoder\.(conv_s\d\.)", r"mask_decoder.\1"),
    (r"\.norm([12])\.", r".layer_norm\1."),
    (r"\.mlp\.layers\.0\.", ".mlp.proj_in."),
    (r"\.mlp\.layers\.1\.", ".mlp.proj_out."),
)
# The exporter folded the transposition of linear layers' weights into constants of this name.
TRANSPOSED = re.compile(r"^/image_encoder/trunk/(blocks\.\d+/.+)/Transpose_output_0$")


def read_encoder(path: Path) -> State:
    """Vision encoder, the decoder's two skip convolutions and the no-memory embedding, float32.

    :raises WeightsError: the file is not this encoder.
    """
    tensors = read_tensors(path)
    missing = [name for name in (POSITION, "no_mem_embed") if name not in tensors]
    if missing:
        raise WeightsError(f"{path.name} is not the SAM 2 encoder: it has no {missing}")
    state = {"no_memory_embedding": tensors.pop("no_mem_embed").reshape(1, 1, 256)}
    state.update(split_position_embedding(tensors.pop(POSITION)[0]))
    for name, tensor in tensors.items():
        if match := TRANSPOSED.match(name):
            linear = f"model.image_encoder.trunk.{match[1].replace('/', '.')}.weight"
            state[rename(linear, ENCODER_NAMES)] = tensor.t()
        elif name.startswith("model."):
            state[rename(name, ENCODER_NAMES)] = tensor
    return state


def read_tensors(path: Path) -> State:
    """All float32 constants of an ``.ort`` file (a flatbuffer), by name."""
    import numpy as np
    import torch

    schema = onnx_runtime.require(SCHEMA)
    graph = schema.InferenceSession.GetRootAs(path.read_bytes(), 0).Model().Graph()
    tensors = {}
    for index in range(graph.InitializersLength()):
        tensor = graph.Initializers(index)
        if tensor.DataType() != FLOAT:
            continue
        shape = [tensor.Dims(axis) for axis in range(tensor.DimsLength())]
        values = tensor.RawDataAsNumpy().view(np.float32).reshape(shape)
        tensors[tensor.Name().decode()] = torch.from_numpy(values.copy())
    return tensors


def split_position_embedding(folded: torch.Tensor) -> State:
    """Take the position embedding apart again that the exporter added up.

    Hiera adds a 7 x 7 map, enlarged bicubically to 256 x 256, and an 8 x 8 map, tiled. The sum is
    linear in the 49 + 64 unknowns of each channel: least squares finds them. A constant can move
    between the two, which changes neither the sum here nor at other input sizes.

    :param folded: 96 x 256 x 256.
    :raises WeightsError: the sum is not of that form.
    """
    import torch
    from torch.nn.functional import interpolate

    channels, side = folded.shape[0], POSITION_SIDE
    coarse, window = GLOBAL_SIDE**2, WINDOW_SIDE**2
    unit = torch.eye(coarse, dtype=torch.float64).reshape(coarse, 1, GLOBAL_SIDE, GLOBAL_SIDE)
    enlarged = interpolate(unit, size=(side, side), mode="bicubic").reshape(coarse, -1)
    unit = torch.eye(window, dtype=torch.float64).reshape(window, WINDOW_SIDE, WINDOW_SIDE)
    tiled = unit.repeat(1, side // WINDOW_SIDE, side // WINDOW_SIDE).reshape(window, -1)
    basis = torch.cat([enlarged, tiled])
    target = folded.double().reshape(channels, -1)
    # One direction is free (the constant): the pseudo-inverse takes the smallest solution.
    inverse = torch.linalg.pinv(basis @ basis.t(), rtol=1e-10, hermitian=True)
    found = inverse @ (basis @ target.t())
    residual = (found.t() @ basis - target).abs().max().item()
    if not residual <= POSITION_TOLERANCE:
        raise WeightsError(
            f"the position embedding cannot be taken apart (residual {residual:.1e})"
        )
    coarse_map = found[:coarse].t().reshape(1, channels, GLOBAL_SIDE, GLOBAL_SIDE)
    window_map = found[coarse:].t().reshape(1, channels, WINDOW_SIDE, WINDOW_SIDE)
    return {
        f"{BACKBONE}pos_embed": coarse_map.float(),
        f"{BACKBONE}pos_embed_window": window_map.float(),
    }


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
