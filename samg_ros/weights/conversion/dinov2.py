"""DINOv2 as the hub has it, and DINOv2-S out of an ONNX export of a saliency model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from samg_ros.errors import WeightsError
from samg_ros.models.dinov2 import SMALL, Vit, dinov2_config, find
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

# transformers 5 renamed these; `from_pretrained` does it on the fly, `load_state_dict` does not.
NAMES = (
    (r"attention\.attention\.query", "attention.q_proj"),
    (r"attention\.attention\.key", "attention.k_proj"),
    (r"attention\.attention\.value", "attention.v_proj"),
    (r"attention\.output\.dense", "attention.o_proj"),
)
BACKBONE = "backbone."
PATCHES = 37 * 37


def model_of(vit: Vit = SMALL) -> torch.nn.Module:
    """DINOv2 of that size, without numbers."""
    import torch
    from transformers import Dinov2Model

    with torch.device("meta"):
        model: torch.nn.Module = Dinov2Model(dinov2_config(vit))
    return model


def from_hub(files: tuple[Path, ...], out: Path) -> None:
    """The tensors of today's ``Dinov2Model`` under older names; the numbers stay.

    :raises WeightsError: the file does not hold exactly one of the models.
    """
    from safetensors.torch import load_file

    state = {rename(name, NAMES): tensor for name, tensor in load_file(files[0]).items()}
    token = state.get("embeddings.cls_token")
    # A width that no size has is refused below: the tensors are not the default's either.
    vit = None if token is None else find(token.shape[-1])
    require_same_tensors(state, model_of(vit or SMALL), files[0].name)
    save(state, out)


def from_onnx(files: tuple[Path, ...], out: Path) -> None:
    """The backbone of one ``.onnx`` file, as float16.

    :raises WeightsError: the file is not that model.
    """
    state = read_backbone(files[0])
    require_same_tensors(state, model_of(), files[0].name)
    save_half(state, out)


def read_backbone(path: Path) -> State:
    """The backbone's tensors in transformers' names, float32.

    The exporter kept the names of biases and norms, renamed the linear layers' weights (transposed
    and known only by the node that uses them), and folded the position embedding into two
    constants: one for the class token, one for the 37 x 37 patches.

    :raises WeightsError: a tensor that must be there is not.
    """
    import torch

    tensors, graph = read_onnx(path)
    state = {
        rename(name.removeprefix(BACKBONE), NAMES): tensor
        for name, tensor in tensors.items()
        if name.startswith(BACKBONE)
    }
    for node in graph.node:
        if node.op_type != "MatMul" or not node.name.startswith("/backbone/"):
            continue
        layer = node.name.removeprefix("/backbone/").removesuffix("/MatMul").replace("/", ".")
        for name in node.input:
            if name in tensors:
                state[rename(f"{layer}.weight", NAMES)] = tensors[name].t()
    halves = [_constant(tensors, "onnx::Concat", 1), _constant(tensors, "onnx::Reshape", PATCHES)]
    state["embeddings.position_embeddings"] = torch.cat(halves, dim=1)
    # Used in pre-training only, and therefore not in the export.
    state["embeddings.mask_token"] = torch.zeros(1, 384)
    return state


def _constant(tensors: State, prefix: str, tokens: int) -> torch.Tensor:
    """The folded constant of shape 1 x ``tokens`` x 384."""
    for name, tensor in tensors.items():
        if name.startswith(prefix) and tuple(tensor.shape) == (1, tokens, 384):
            return tensor
    raise WeightsError(f"this ONNX file has no position embedding of {tokens} x 384 values")
