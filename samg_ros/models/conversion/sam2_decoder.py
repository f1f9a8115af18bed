"""The prompt encoder and mask decoder of SAM 2 out of an ONNX export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from samg_ros.errors import WeightsError
from samg_ros.models.conversion import onnx_runtime
from samg_ros.models.conversion.names import rename

if TYPE_CHECKING:
    import torch

    from samg_ros.models.conversion.state import State

DECODER, PROMPT = "mask_decoder.", "prompt_encoder."
HEADS = r"(output_hypernetworks_mlps\.\d|iou_prediction_head)"
NAMES = (
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
        return {DECODER + rename(name.removeprefix(DECODER), NAMES): tensor}
    if "mask_downscaling" in name:
        layer, kind = name.split(".")[-2:]
        return {f"{PROMPT}mask_embed.{MASK_CONVOLUTIONS[layer]}.{kind}": tensor}
    return {}


def _unnamed(node: Any, tensor: torch.Tensor) -> State:
    """A constant without a name: what it is follows from the node that uses it."""
    path = node.name.strip("/")
    if node.op_type == "MatMul":
        layer = rename(path.removesuffix("/MatMul").replace("/", "."), NAMES)
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
