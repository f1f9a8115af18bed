"""State dicts: compare with the model they are for, and save."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from samg_ros.errors import WeightsError
from samg_ros.models.sam2 import TINY, Hiera, sam2_config

if TYPE_CHECKING:
    import torch

    from samg_ros.models.dinov2 import Vit

    State = dict[str, torch.Tensor]
import re
from collections.abc import Sequence


def sam2_model(hiera: Hiera = TINY) -> Any:
    """SAM 2 with that image encoder, its weights random."""
    from transformers import Sam2Model

    return Sam2Model(sam2_config(hiera)).eval()


def dinov2_model(vit: Vit | None = None) -> Any:
    """DINOv2 of that size (ViT-S/14 unless given), its weights random."""
    from transformers import Dinov2Model

    from samg_ros.models.dinov2 import SMALL, dinov2_config

    return Dinov2Model(dinov2_config(vit or SMALL)).eval()


def require_same_tensors(state: State, model: torch.nn.Module, source: str) -> None:
    """Names and shapes must be the model's, none more and none less.

    :raises WeightsError: they are not; the message names the first few.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in state.items()}
    if given == wanted:
        return
    missing = sorted(wanted.keys() - given.keys())[:3]
    extra = sorted(given.keys() - wanted.keys())[:3]
    shapes = sorted(n for n in wanted.keys() & given.keys() if wanted[n] != given[n])[:3]
    raise WeightsError(
        f"{source} does not fit {type(model).__name__}: "
        f"missing {missing}, unexpected {extra}, other shape {shapes}"
    )


def save(state: State, out: Path) -> None:
    """Write ``state`` as safetensors.

    :raises WeightsError: it cannot be written, for instance because the disk is full.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors = {name: tensor.contiguous() for name, tensor in state.items()}
    try:
        save_file(tensors, out, metadata={"format": "pt"})
    except SafetensorError as error:
        raise WeightsError(f"cannot write {out}: {error}") from error


def rename(name: str, rules: Sequence[tuple[str, str]]) -> str:
    """Apply each ``(pattern, replacement)`` of ``rules`` in turn; patterns are regular."""
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name
