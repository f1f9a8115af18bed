"""The image encoder of SAM 2 Hiera-Tiny out of onnxruntime's own file format (``.ort``)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from samg_ros.errors import WeightsError
from samg_ros.models.conversion import onnx_runtime
from samg_ros.models.conversion.names import rename

if TYPE_CHECKING:
    import torch

    from samg_ros.models.conversion.state import State

SCHEMA = "onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs.InferenceSession"
FLOAT = 1  # TensorDataType.FLOAT of the schema
BACKBONE = "vision_encoder.backbone."
POSITION = "/image_encoder/trunk/Transpose_output_0"
POSITION_SIDE, GLOBAL_SIDE, WINDOW_SIDE = 256, 7, 8
POSITION_TOLERANCE = 1e-5

NAMES = (
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
            state[rename(linear, NAMES)] = tensor.t()
        elif name.startswith("model."):
            state[rename(name, NAMES)] = tensor
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
