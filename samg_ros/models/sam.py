"""SAM (arXiv 2304.02643) as a :class:`~samg_ros.models.base.Segmenter`, whatever its encoder."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from functools import cache, lru_cache
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samg_ros.errors import ConfigError
from samg_ros.models.base import Embedding, Prompts
from samg_ros.models.loading import scaled_size

PACKAGE = "segment_anything"
ALIAS = "_segment_anything_without_torchvision"
CHANNELS = 256


@cache
def modeling() -> ModuleType:
    """segment_anything's ``modeling``, without the package's own set-up: that needs torchvision.

    :raises ConfigError: it is not installed; the message says what to install.
    """
    found = importlib.util.find_spec(PACKAGE)  # looks, does not import
    if found is None:
        raise ConfigError("SAM's decoder needs one package: pip install segment-anything")
    # A package of another name with the same files, whose __init__ is never run.
    sys.modules[ALIAS] = importlib.util.module_from_spec(found)
    return importlib.import_module(f"{ALIAS}.modeling")


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


# SAM's own, 123.675 / 255 and so on.
IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)
NO_POINT = -1
BOX_CORNERS = (2, 3)

Extent = tuple[float, float]


class SamSegmenter:
    """Image encoder, prompt encoder and mask decoder at a square input size.

    An image is scaled until its longer side fits and padded with zeros to the right and below, as
    SAM was trained; so features and logits cover more than the image. The image encoder runs in
    ``dtype``; prompts and decoder stay in float32.

    :param network: loaded, with a grid that fits ``input_size``.
    """

    def __init__(
        self, network: SamNetwork, input_size: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.input_size = input_size
        self.device = device
        self.network = network.requires_grad_(False).to(device)
        self.network.image_encoder.to(dtype)
        self.network.eval()  # at last: TinyViT of kornia 0.8 keeps a table of its weights then
        self.mask_size = network.prompt_encoder.mask_input_size[0]
        self._dtype = dtype
        self._image_pe = network.prompt_encoder.get_dense_pe()
        self._mean = torch.tensor(IMAGE_MEAN, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(IMAGE_STD, device=device).view(1, 3, 1, 1)

    @torch.inference_mode()
    def encode(self, images: Tensor) -> Embedding:
        """See :meth:`Segmenter.encode`."""
        height, width = scaled_size(images.shape[-2], images.shape[-1], self.input_size)
        resized = F.interpolate(
            images, size=(height, width), mode="bilinear", align_corners=False, antialias=True
        )
        padding = (0, self.input_size - width, 0, self.input_size - height)
        pixels = F.pad((resized - self._mean) / self._std, padding)
        features = self.network.image_encoder(pixels.to(self._dtype)).float()
        extent = (width / self.input_size, height / self.input_size)
        return Embedding(
            features=features,
            correspondence=_spread(features, extent, *features.shape[-2:]),
            extent=extent,
        )

    @torch.inference_mode()
    def decode(self, embedding: Embedding, prompts: Prompts) -> tuple[Tensor, Tensor]:
        """See :meth:`Segmenter.decode`. B x T prompt sets are one batch of the decoder."""
        batch, targets = prompts.points.shape[:2]
        dense = embedding.features.repeat_interleave(targets, 0) + self._dense(prompts.masks)
        logits, scores = self.network.mask_decoder(
            # The decoder takes one image and adds the dense prompts to its embedding. The sum of
            # both as the dense prompts of an empty image is the same, for any number of images.
            image_embeddings=torch.zeros_like(dense[:1]),
            image_pe=self._image_pe,
            sparse_prompt_embeddings=self._sparse(prompts, embedding.extent),
            dense_prompt_embeddings=dense,
            multimask_output=True,
        )
        return logits.unflatten(0, (batch, targets)), scores.unflatten(0, (batch, targets))

    def to_image(self, logits: Tensor, height: int, width: int) -> Tensor:
        """See :meth:`Segmenter.to_image`; what lies on the padding is cut off."""
        inner = scaled_size(height, width, self.input_size)
        extent = (inner[1] / self.input_size, inner[0] / self.input_size)
        return _spread(logits, extent, height, width)

    def _sparse(self, prompts: Prompts, extent: Extent) -> Tensor:
        """Points and box corners as tokens, float [B * T, N, C].

        SAM's own prompt encoder does this with indexing by conditions, for which a GPU must wait.
        """
        points, labels = prompts.points, prompts.labels
        if prompts.boxes is None:
            points = F.pad(points, (0, 0, 0, 1))
            labels = F.pad(labels, (0, 1), value=NO_POINT)
        else:
            points = torch.cat([points, prompts.boxes.unflatten(-1, (2, 2))], 2)
            for corner in BOX_CORNERS:
                labels = F.pad(labels, (0, 1), value=corner)
        points, labels = points.flatten(0, 1).float(), labels.flatten(0, 1).long()
        encoder = self.network.prompt_encoder
        padded = torch.stack([points[..., 0] * extent[0], points[..., 1] * extent[1]], -1)
        # The frame is the unit square here, in which a pixel's middle needs no half pixel more.
        places = encoder.pe_layer.forward_with_coords(padded, (1, 1))
        places = places * (labels != NO_POINT)[..., None]
        kinds = [kind.weight for kind in encoder.point_embeddings]
        kinds.append(encoder.not_a_point_embed.weight)  # last, where the index -1 finds it
        return places + torch.cat(kinds)[labels]

    def _dense(self, masks: Tensor | None) -> Tensor:
        """Earlier logits as an embedding, float [B * T or 1, C, grid, grid]."""
        encoder = self.network.prompt_encoder
        if masks is None:
            return encoder.no_mask_embed.weight[..., None, None]
        return encoder.mask_downscaling(masks.flatten(0, 1)[:, None].float())


def _spread(maps: Tensor, extent: Extent, height: int, width: int) -> Tensor:
    """The part of [B, C, h, w] maps that the image takes up, bilinearly as [B, C, H, W]."""
    if extent != (1.0, 1.0):
        grid = _sampling_grid(extent, height, width, maps.device).expand(len(maps), -1, -1, -1)
        return F.grid_sample(maps, grid, padding_mode="border", align_corners=False)
    if maps.shape[-2:] == (height, width):
        return maps
    return F.interpolate(maps, size=(height, width), mode="bilinear", align_corners=False)


@lru_cache(maxsize=16)
def _sampling_grid(extent: Extent, height: int, width: int, device: torch.device) -> Tensor:
    """Where to sample, float [1, H, W, 2]; kept, since a camera's frames are all of one size."""
    x, y = extent
    to_map = torch.tensor([[[x, 0.0, x - 1], [0.0, y, y - 1]]], device=device)
    return F.affine_grid(to_map, [1, 1, height, width], align_corners=False)
