"""SAM 2 as the hub has it, and SAM 2 Hiera-Tiny out of an ORT encoder and an ONNX decoder."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samg_ros.errors import WeightsError
from samg_ros.models import sam2
from samg_ros.weights.conversion.state import (
    read_onnx,
    rename,
    require_same_tensors,
    save,
    save_half,
)

if TYPE_CHECKING:
    import torch

    from samg_ros.weights.conversion.state import State

BACKBONE = "vision_encoder.backbone."
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
# The fields of ONNX Runtime's flatbuffer schema (ort.fbs) on the way to a constant: places in the
# tables InferenceSession, Model, Graph and Tensor.
MODEL, GRAPH, INITIALIZERS = 6, 18, 4
NAME, DIMENSIONS, NUMBER_TYPE, NUMBERS = 4, 8, 10, 12
FLOAT = 1
ABSENT_HEAD = "mask_decoder.pred_obj_score_head."


def model_of(hiera: sam2.Hiera = sam2.TINY) -> torch.nn.Module:
    """SAM 2's image model with that encoder, without numbers."""
    import torch
    from transformers import Sam2Model

    with torch.device("meta"):
        model: torch.nn.Module = Sam2Model(sam2.sam2_config(hiera))
    return model


def from_hub(files: tuple[Path, ...], out: Path) -> None:
    """Of the video model keep what the image model has; the numbers stay.

    :raises WeightsError: a tensor of the image model is absent or of another shape.
    """
    from safetensors.torch import load_file

    state = load_file(files[0])
    model = image_model(state, files[0].name)
    wanted = model.state_dict().keys()
    state = {name: tensor for name, tensor in state.items() if name in wanted}
    require_same_tensors(state, model, files[0].name)
    save(state, out)


def image_model(state: State, source: str) -> torch.nn.Module:
    """The image model of the size that the tensors are of, without numbers.

    :raises WeightsError: they are of none of the four sizes.
    """
    first = state.get(f"{BACKBONE}pos_embed")
    width = 0 if first is None else first.shape[1]
    prefix = f"{BACKBONE}blocks."
    blocks = {name.split(".")[3] for name in state if name.startswith(prefix)}
    size = sam2.find(width, len(blocks))
    if size is None:
        raise WeightsError(f"{source} is no SAM 2: {len(blocks)} blocks of width {width}")
    return model_of(size)


def from_onnx(files: tuple[Path, ...], out: Path) -> None:
    """Convert (encoder ``.ort``, decoder ``.onnx``), as float16.

    :raises WeightsError: the files are not that model.
    """
    save_half(read_both(*files), out)


def read_both(encoder: Path, decoder: Path) -> State:
    """All tensors of ``transformers.Sam2Model``, float32.

    :raises WeightsError: one is absent or has another shape.
    """
    import torch

    model = model_of()
    state = {**read_encoder(encoder), **read_decoder(decoder)}
    for name, tensor in model.state_dict().items():
        if name.startswith(ABSENT_HEAD):
            # Pruned from the export because no mask depends on it.
            state.setdefault(name, torch.zeros(tensor.shape))
    require_same_tensors(state, model, f"{encoder.name} with {decoder.name}")
    return state


def read_decoder(path: Path) -> State:
    """Prompt encoder and mask decoder in transformers' names, float32, less the object score.

    :raises WeightsError: the file is not this decoder.
    """
    tensors, graph = read_onnx(path)
    try:
        state = _prompt_embeddings(tensors)
        for name, tensor in tensors.items():
            state.update(_named(name, tensor))
        for node in graph.node:
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
    """All float32 constants of an ``.ort`` file (a flatbuffer), by name.

    :raises WeightsError: it is no such file.
    """
    import numpy as np
    import torch
    from flatbuffers.number_types import Int32Flags, Int64Flags, Uint8Flags

    tensors = {}
    try:
        for tensor in _initializers(path.read_bytes()):
            if tensor.GetSlot(NUMBER_TYPE, 0, Int32Flags) != FLOAT:
                continue
            dimensions = tensor.Offset(DIMENSIONS)  # 0: a single number has none
            shape = tensor.GetVectorAsNumpy(Int64Flags, dimensions) if dimensions else ()
            numbers = tensor.GetVectorAsNumpy(Uint8Flags, tensor.Offset(NUMBERS))
            values = numbers.view(np.float32).reshape(shape)
            name = tensor.String(tensor.Pos + tensor.Offset(NAME)).decode()
            tensors[name] = torch.from_numpy(values.copy())
    except (struct.error, ValueError, TypeError, IndexError) as error:
        raise WeightsError(f"{path.name} is not an ORT file: {error}") from error
    return tensors


def _initializers(content: bytes) -> Iterator[Any]:
    """The tables of all constants."""
    from flatbuffers import encode, packer
    from flatbuffers.table import Table

    here = Table(content, encode.Get(packer.uoffset, content, 0))
    for field in (MODEL, GRAPH):
        here = Table(content, here.Indirect(here.Pos + here.Offset(field)))
    offset = here.Offset(INITIALIZERS)
    for index in range(here.VectorLen(offset)):
        yield Table(content, here.Indirect(here.Vector(offset) + 4 * index))


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
    # One direction is free (the constant): the pseudo-inverse takes the smallest solution. Another
    # solver's differs by 3e-15, and no number lies within 1e-11 of where float16 rounds the other
    # way, so that the stored tensors are the same on every machine.
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
