"""DINOv2 as the hub has it: the tensors of today's ``Dinov2Model`` under older names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from samg_ros.weights.conversion.state import dinov2_model, require_same_tensors, save

# transformers 5 renamed these; `from_pretrained` does it on the fly, `load_state_dict` does not.
RENAMED = (
    ("attention.attention.query", "attention.q_proj"),
    ("attention.attention.key", "attention.k_proj"),
    ("attention.attention.value", "attention.v_proj"),
    ("attention.output.dense", "attention.o_proj"),
)


def rename(name: str) -> str:
    """A tensor's name in ``transformers.Dinov2Model``, from its name in the published files."""
    for old, new in RENAMED:
        name = name.replace(old, new)
    return name


def convert(files: tuple[Path, ...], out: Path) -> dict[str, Any]:
    """Rename; the numbers and their precision stay.

    :raises WeightsError: the file does not hold exactly one of the models.
    """
    import torch
    from safetensors.torch import load_file

    from samg_ros.models.dinov2 import find

    state = {rename(name): tensor for name, tensor in load_file(files[0]).items()}
    token = state.get("embeddings.cls_token")
    # A width that no size has is refused below: the tensors are not the default's either.
    vit = None if token is None else find(token.shape[-1])
    with torch.device("meta"):
        model = dinov2_model(vit)
    require_same_tensors(state, model, files[0].name)
    save(state, out)
    return {"precision": str(next(iter(state.values())).dtype).removeprefix("torch.")}
