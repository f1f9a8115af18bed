"""Meta's own SAM modules (arXiv 2304.02643), from the ``segment-anything`` package.

The package's ``__init__`` imports its predictor and mask generator, and they import torchvision,
of which no build fits every torch (there is none for torch's CPU builds on some registries). Its
``modeling`` folder needs torch only, so that folder is imported on its own, under a name of ours:
``import segment_anything`` elsewhere is neither helped nor disturbed.
"""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

from torch import nn

from samg_ros.errors import ConfigError

PACKAGE = "segment_anything"
ALIAS = "samg_ros.models._segment_anything_modeling"
CHANNELS = 256


@cache
def modeling() -> ModuleType:
    """The package's ``modeling`` subpackage.

    :raises ConfigError: it is not installed; the message says what to install.
    """
    found = importlib.util.find_spec(PACKAGE)  # looks, does not import
    folders = found.submodule_search_locations if found else None
    init = Path(next(iter(folders), "")) / "modeling" / "__init__.py" if folders else None
    if init is None or not init.is_file():
        raise ConfigError("SAM's decoder needs one package: pip install segment-anything")
    spec = importlib.util.spec_from_file_location(
        ALIAS, init, submodule_search_locations=[str(init.parent)]
    )
    assert spec is not None and spec.loader is not None  # a file that exists always has them
    module = importlib.util.module_from_spec(spec)
    sys.modules[ALIAS] = module
    spec.loader.exec_module(module)
    return module


def layer_norm_2d(channels: int) -> nn.Module:
    """Layer norm over the channels of a [B, C, H, W] map."""
    norm: nn.Module = modeling().common.LayerNorm2d(channels)
    return norm


class SamNetwork(nn.Module):
    """An image encoder with SAM's prompt encoder and mask decoder, named as in its checkpoints.

    :param image_encoder: float [B, 3, S, S] to float [B, 256, grid, grid].
    :param grid: cells a side of the image embedding.
    """

    def __init__(self, image_encoder: nn.Module, grid: int) -> None:
        super().__init__()
        sam = modeling()
        self.image_encoder = image_encoder
        self.prompt_encoder = sam.PromptEncoder(
            embed_dim=CHANNELS,
            image_embedding_size=(grid, grid),
            input_image_size=(16 * grid, 16 * grid),
            mask_in_chans=16,
        )
        self.mask_decoder = sam.MaskDecoder(
            num_multimask_outputs=3,
            transformer=sam.TwoWayTransformer(
                depth=2, embedding_dim=CHANNELS, mlp_dim=2048, num_heads=8
            ),
            transformer_dim=CHANNELS,
            iou_head_depth=3,
            iou_head_hidden_dim=256,
        )
