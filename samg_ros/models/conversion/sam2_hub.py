"""SAM 2 as the hub has it: the video model, of which the image model is a part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from samg_ros.models.conversion.state import require_same_tensors, sam2_model, save


def convert(files: tuple[Path, ...], out: Path) -> dict[str, Any]:
    """Keep the image model's tensors; the numbers and their precision stay.

    :raises WeightsError: a tensor of the image model is absent or of another shape.
    """
    from safetensors.torch import load_file

    model = sam2_model()
    wanted = model.state_dict().keys()
    state = {name: tensor for name, tensor in load_file(files[0]).items() if name in wanted}
    require_same_tensors(state, model, files[0].name)
    save(state, out)
    return {"precision": str(next(iter(state.values())).dtype).removeprefix("torch.")}
