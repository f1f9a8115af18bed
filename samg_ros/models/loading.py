"""Build a network and fill it strictly from a checkpoint, without initialising it first."""

from __future__ import annotations

import importlib
import pickle
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from samg_ros.errors import ConfigError, WeightsError

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


@dataclass(frozen=True)
class Sizes:
    """The sides a model's square input may have, px.

    :param native: the side it was trained at.
    :param step: every side is a multiple of this.
    :param smallest: below it the model's maps are too small for its windows.
    :param preferred: the side it has where none is asked for; None takes the native one.
    """

    native: int
    step: int
    smallest: int
    preferred: int | None = None

    @property
    def own(self) -> int:
        """The side that an input size of 0 stands for."""
        return self.preferred or self.native

    def choose(self, model: str, asked: int) -> int:
        """``asked``, or the model's own side where it is 0.

        :raises ConfigError: the model cannot take it; the message says which it takes.
        """
        if asked == 0:
            return self.own
        if asked % self.step or asked < self.smallest:
            raise ConfigError(
                f"{model} input_size {asked}: take a multiple of {self.step}, at least "
                f"{self.smallest} (0 takes its own, {self.own})"
            )
        return asked


def kornia_model(name: str) -> ModuleType:
    """kornia's module of that name among its models.

    :raises ConfigError: it is not installed; the message says what to install.
    """
    try:
        return importlib.import_module(f"kornia.models.{name}")
    except ModuleNotFoundError:
        pass
    try:  # where kornia 0.8, the last for Python 3.10, has it
        return importlib.import_module(f"kornia.contrib.models.{name}")
    except ModuleNotFoundError as error:
        raise ConfigError(
            "this model's encoder needs one package: pip install 'samg_ros[models]' (kornia)"
        ) from error


def scaled_size(height: int, width: int, longest: int) -> tuple[int, int]:
    """Height and width of an image after its longer side was brought to ``longest`` px."""
    scale = longest / max(height, width)
    # Half is rounded up, as in SAM; an image thinner than half a pixel keeps one.
    return max(int(height * scale + 0.5), 1), max(int(width * scale + 0.5), 1)
