"""Build a network and fill it strictly from a checkpoint, without initialising it first."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from samg_ros.errors import WeightsError

Network = TypeVar("Network", bound=nn.Module)


def build(
    make: Callable[[], Network],
    path: Path | None,
    device: torch.device,
    leave_out: Sequence[str] = (),
) -> Network:
    """The network that ``make`` gives, on the CPU (or on the meta device), in float32.

    :param make: constructs it; its buffers must all be in its state dict.
    :param path: checkpoint to load; None gives random weights from torch's seed.
    :param device: where it is to go; ``meta`` gives shapes without numbers.
    :param leave_out: patterns of names the file holds and the network has no use for.
    :raises WeightsError: the file is not of this network.
    """
    if path is None:
        # On the CPU even for another device: a seed then means the same numbers everywhere.
        with torch.device("meta" if device.type == "meta" else "cpu"):
            return make().eval()
    # Random numbers that are overwritten at once would cost seconds for the large networks.
    with torch.device("meta"):
        network = make().eval()
    fill(network, read(path), path, leave_out)
    return network


def read(path: Path) -> dict[str, Tensor]:
    """A checkpoint's tensors, from safetensors or from a PyTorch file of plain tensors.

    :raises WeightsError: the file cannot be read as either.
    """
    if path.suffix == ".safetensors":
        return load_file(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise WeightsError(f"{path} is not a PyTorch file of tensors: {error}") from error
    return state.get("state_dict", state)


def fill(
    network: nn.Module, state: dict[str, Tensor], path: Path, leave_out: Sequence[str] = ()
) -> None:
    """Give ``network`` the tensors of ``state``: every one it needs and no other, as float32.

    :raises WeightsError: missing or unknown names, or shapes that do not fit.
    """
    useless = re.compile("|".join(leave_out) or "$^")
    wanted = network.state_dict().keys()
    unknown = [k for k in state if k not in wanted and not useless.search(k)]
    missing = [k for k in wanted if k not in state]
    if unknown or missing:
        raise WeightsError(
            f"{path} is not this model: missing {missing[:3]}, unknown {unknown[:3]}; "
            "run `samg weights verify`, or name the checkpoint that fits"
        )
    try:
        network.load_state_dict({k: _single(state[k]) for k in wanted}, assign=True)
    except RuntimeError as error:
        raise WeightsError(f"{path} does not fit this model: {error}") from error


def _single(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor
