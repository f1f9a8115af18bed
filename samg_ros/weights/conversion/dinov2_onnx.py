"""DINOv2-S out of an ONNX export of a saliency model that has it as its backbone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from samg_ros.errors import WeightsError
from samg_ros.weights.conversion import numerics, onnx_runtime
from samg_ros.weights.conversion.dinov2_hub import rename
from samg_ros.weights.conversion.state import dinov2_model, require_same_tensors

if TYPE_CHECKING:
    import torch

    from samg_ros.weights.conversion.state import State


TOOLS = onnx_runtime.NEEDED
BACKBONE = "backbone."
CHECK_SIDE = 224  # the export's fixed input size, px
CHECK_LAYER = 9  # the layer whose hidden state is used
CHECK_OUTPUTS = (
    f"/backbone/encoder/layer.{CHECK_LAYER - 1}/Add_1_output_0",
    "/backbone/layernorm/Add_1_output_0",
)


def convert(files: tuple[Path, ...], out: Path) -> dict[str, Any]:
    """Convert one ``.onnx`` file; check the hidden state after layer 9 and the final output.

    :raises WeightsError: the file is not that model, or the check failed.
    """
    onnx = onnx_runtime.require("onnx")
    export = onnx.load(str(files[0]))
    state = read_state(export)
    require_same_tensors(state, dinov2_model(), files[0].name)

    image = numerics.check_image(CHECK_SIDE)
    for name in CHECK_OUTPUTS:
        export.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    original = onnx_runtime.session(export.SerializeToString())
    expected = original.run(list(CHECK_OUTPUTS), {"input_image": image})

    def errors(candidate: State) -> dict[str, float]:
        import torch

        model = dinov2_model()
        model.load_state_dict(candidate)
        with torch.inference_mode():
            result = model(torch.from_numpy(image), output_hidden_states=True)
        ours = (result.hidden_states[CHECK_LAYER], result.last_hidden_state)
        return {
            name: numerics.relative_error(tensor.numpy(), reference)
            for name, tensor, reference in zip(CHECK_OUTPUTS, ours, expected, strict=True)
        }

    return numerics.store_checked(state, errors, out)


def read_state(export: Any) -> State:
    """The backbone's tensors in transformers' names, float32.

    The exporter kept the names of biases and norms, renamed the linear layers' weights (transposed
    and known only by the node that uses them), and folded the position embedding into two
    constants: one for the class token, one for the 37 x 37 patches.

    :raises WeightsError: a tensor that must be there is not.
    """
    import torch
    from onnx import numpy_helper

    tensors = {
        t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in export.graph.initializer
    }
    state = {
        rename(name.removeprefix(BACKBONE)): tensor
        for name, tensor in tensors.items()
        if name.startswith(BACKBONE)
    }
    for node in export.graph.node:
        if node.op_type != "MatMul" or not node.name.startswith("/backbone/"):
            continue
        layer = node.name.removeprefix("/backbone/").removesuffix("/MatMul").replace("/", ".")
        for name in node.input:
            if name in tensors:
                state[rename(f"{layer}.weight")] = tensors[name].t()
    halves = [_constant(tensors, "onnx::Concat", 1), _constant(tensors, "onnx::Reshape", 37 * 37)]
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
