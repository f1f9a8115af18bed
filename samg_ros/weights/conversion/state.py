"""State dicts: take apart what holds them, compare with the model they are for, and save."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samg_ros.errors import WeightsError

if TYPE_CHECKING:
    import torch

    State = dict[str, torch.Tensor]


def read_onnx(path: Path) -> tuple[State, Any]:
    """The named constants of an ``.onnx`` file, as it has them, and its graph.

    :raises WeightsError: it is no such file.
    """
    import onnx
    import torch
    from google.protobuf.message import DecodeError

    try:
        graph = onnx.load(str(path)).graph
    except DecodeError as error:
        raise WeightsError(f"{path.name} is not an ONNX file: {error}") from error
    arrays = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}, graph


def rename(name: str, rules: Sequence[tuple[str, str]]) -> str:
    """Apply each ``(pattern, replacement)`` of ``rules`` in turn; patterns are regular."""
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def require_same_tensors(state: State, model: torch.nn.Module, source: str) -> None:
    """Names and shapes must be the model's, none more and none less.

    :param model: may be on the meta device, where tensors have no numbers.
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


def save_half(state: State, out: Path) -> None:
    """Write float32 tensors as float16, which halves the file; :func:`save` has the errors.

    Rounded to 11 bits, features and logits move by 0.2 % (relative L2 norm, measured against the
    ONNX originals), which is small against what separates an object from its background.
    """
    save({name: tensor.half() for name, tensor in state.items()}, out)
