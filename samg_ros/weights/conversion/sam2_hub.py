"""SAM 2 as the hub has it: the video model, of which the image model is a part."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from samg_ros.errors import WeightsError
from samg_ros.models import sam2
from samg_ros.weights.conversion.state import require_same_tensors, sam2_model, save

if TYPE_CHECKING:
    import torch

    from samg_ros.weights.conversion.state import State


BACKBONE = "vision_encoder.backbone."


def convert(files: tuple[Path, ...], out: Path) -> dict[str, Any]:
    """Keep the image model's tensors; the numbers and their precision stay.

    :raises WeightsError: a tensor of the image model is absent or of another shape.
    """
    from safetensors.torch import load_file

    state = load_file(files[0])
    model = image_model(state, files[0].name)
    wanted = model.state_dict().keys()
    state = {name: tensor for name, tensor in state.items() if name in wanted}
    require_same_tensors(state, model, files[0].name)
    save(state, out)
    return {"precision": str(next(iter(state.values())).dtype).removeprefix("torch.")}


def image_model(state: State, source: str) -> torch.nn.Module:
    """The image model of the size that the tensors are of, without numbers.

    :raises WeightsError: they are of none of the four sizes.
    """
    import torch

    first = state.get(f"{BACKBONE}pos_embed")
    width = 0 if first is None else first.shape[1]
    prefix = f"{BACKBONE}blocks."
    blocks = {name.split(".")[3] for name in state if name.startswith(prefix)}
    size = sam2.find(width, len(blocks))
    if size is None:
        raise WeightsError(f"{source} is no SAM 2: {len(blocks)} blocks of width {width}")
    with torch.device("meta"):
        model: torch.nn.Module = sam2_model(size)
    return model
