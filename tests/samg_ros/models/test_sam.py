"""SAM's decoder in batches, its padding, and its encoders, against the package's own code."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from samg_ros.errors import ConfigError, WeightsError
from samg_ros.models import efficientvit_sam, mobile_sam, sam, sam_vit
from samg_ros.models.base import Embedding, Prompts
from samg_ros.models.efficientvit_sam import HEAD_CHANNELS, LinearAttention
from samg_ros.models.loading import scaled_size
from samg_ros.models.sam import SamSegmenter
from samg_ros.weights.resolve import resolve

CPU, META = torch.device("cpu"), torch.device("meta")
GRID, SIDE = 8, 128
WITHOUT_TORCHVISION = """
import sys
sys.modules["torchvision"] = None  # importing it raises
import torch
from samg_ros.models.base import models
models.get("sam_vit_b")(None, 0, torch.device("meta"), torch.float32)
sys.exit("segment_anything" in sys.modules)
"""
# Scores and areas that MobileSAM's own code gives with the official checkpoint on `scene()`.
MOBILE_SCORES = (1.0046, 0.9800, 0.7630)
MOBILE_AREAS = (0.1244, 0.1844, 0.5387)


class Cells(torch.nn.Module):
    """Stands for an image encoder: means of 16 x 16 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = torch.nn.Conv2d(3, sam.CHANNELS, 16, 16)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.mix(pixels)


@pytest.fixture(scope="module")
def segmenter() -> SamSegmenter:
    torch.manual_seed(0)
    return SamSegmenter(sam.SamNetwork(Cells(), GRID), SIDE, CPU, torch.float32)


def scene(height: int = 360, width: int = 480) -> torch.Tensor:
    """A disc and a box on a gradient, float [1, 3, H, W]."""
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    picture = torch.stack([x, y, 0.5 + 0.5 * torch.sin(12 * x + 7 * y)])
    disc = (x - 0.4) ** 2 + (y - 0.55) ** 2 < 0.04
    picture[:, disc] = torch.tensor([[0.9], [0.2], [0.1]])
    picture[:, ((x - 0.75).abs() < 0.1) & ((y - 0.3).abs() < 0.15)] = 0.1
    return picture[None]


@torch.no_grad()
def decode_by_the_package(segmenter, embedding: Embedding, prompts: Prompts, b: int):
    """One image's targets by the package's own prompt encoder; points are shifted back."""
    network = segmenter.network
    frame = torch.tensor(embedding.extent) * SIDE
    points = (prompts.points[b] * frame - 0.5, prompts.labels[b])
    boxes = prompts.boxes[b] * frame.repeat(2) - 0.5 if prompts.boxes is not None else None
    masks = prompts.masks[b][:, None] if prompts.masks is not None else None
    sparse, dense = network.prompt_encoder(points=points, boxes=boxes, masks=masks)
    return network.mask_decoder(
        image_embeddings=embedding.features[b : b + 1],
        image_pe=network.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=True,
    )


@pytest.mark.parametrize("refined", [False, True])
def test_a_batch_is_decoded_as_the_package_decodes_each_image(segmenter, refined: bool):
    prompts = Prompts(
        torch.rand(2, 3, 4, 2),
        torch.tensor([1, 0, 1, -1]).expand(2, 3, -1),
        torch.rand(2, 3, 4).sort(-1).values if refined else None,
        torch.randn(2, 3, 4 * GRID, 4 * GRID) if refined else None,
    )
    embedding = segmenter.encode(torch.rand(2, 3, 30, 50))
    logits, scores = segmenter.decode(embedding, prompts)
    for b in range(2):
        expected, expected_scores = decode_by_the_package(segmenter, embedding, prompts, b)
        torch.testing.assert_close(logits[b], expected, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(scores[b], expected_scores, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((480, 640), (768, 1024)), ((84, 84), (1024, 1024)), ((1, 3000), (1, 1024))],
)
def test_the_longer_side_fits(size, expected):
    assert scaled_size(*size, 1024) == expected


def test_the_padding_is_cut_off(segmenter):
    embedding = segmenter.encode(torch.rand(1, 3, 30, 60))
    assert embedding.extent == (1.0, 0.5)
    assert embedding.features.shape == embedding.correspondence.shape == (1, 256, GRID, GRID)
    logits = torch.full((1, 1, 4 * GRID, 4 * GRID), -1.0)
    logits[:, :, :GRID, : 2 * GRID] = 1  # the left upper quarter of the image
    mask = segmenter.to_image(logits, 30, 60)[0, 0] > 0
    expected = torch.zeros(30, 60, dtype=torch.bool)
    expected[:15, :30] = True
    assert (mask == expected).float().mean() > 0.97


def test_sam_needs_no_torchvision():
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCHVISION], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(sam, "PACKAGE", "no_such_package")
    with pytest.raises(ConfigError, match="pip install segment-anything"):
        sam.modeling.__wrapped__()


def test_positions_are_resized_only_where_they_must_be():
    with META:
        encoder = sam_vit._encoder(sam_vit.BASE)
    before = encoder.pos_embed
    sam_vit.resize_positions(encoder, 64)
    assert encoder.pos_embed is before
    sam_vit.resize_positions(encoder, 20)
    assert encoder.pos_embed.shape == (1, 20, 20, 768)


@pytest.mark.parametrize(
    ("factory", "published"),
    [
        (sam_vit.base, 93.7),
        (sam_vit.large, 312.3),
        (sam_vit.huge, 641.1),
        (efficientvit_sam.l0, 34.8),
        (efficientvit_sam.l1, 47.7),
    ],
)
def test_parameters_are_as_published(factory, published: float):
    """In millions, from the authors' tables."""
    network = factory(None, 0, META, torch.float32).network
    count = sum(p.numel() for p in network.parameters()) / 1e6
    assert count == pytest.approx(published, abs=0.06)


def test_biases_go_by_the_distance_of_two_cells():
    table = mobile_sam.distances(7, CPU)
    assert table.shape == (49, 49) and torch.equal(table, table.t())
    cell, other = 2 * 7 + 5, 6 * 7 + 1
    assert table[cell, other] == 4 * 7 + 4


def test_windows_reach_over_the_edge_alike():
    """A map padded by hand to whole windows gives what the block gives for the smaller map."""
    torch.manual_seed(0)
    block = mobile_sam.WindowBlock(32, 2, 7).eval()
    maps = torch.randn(2, 32, 10, 12)
    with torch.no_grad():
        padded = torch.nn.functional.pad(maps, (0, 2, 0, 4))
        torch.testing.assert_close(block._attend(maps), block._attend(padded)[..., :10, :12])
        alone = block._attend(maps[:, :, :7, :7])
        torch.testing.assert_close(block._attend(maps)[..., :7, :7], alone)


@torch.no_grad()
def test_linear_attention_is_attention_with_relu():
    torch.manual_seed(0)
    layer = LinearAttention(2 * HEAD_CHANNELS).eval()
    maps = torch.randn(1, 2 * HEAD_CHANNELS, 5, 6)
    cells = layer.qkv(maps)
    heads = torch.cat([cells, layer.aggreg[0](cells)], 1).flatten(2).view(4, 3, HEAD_CHANNELS, 30)
    query, key, value = heads[:, 0].relu(), heads[:, 1].relu(), heads[:, 2]
    likeness = key.mT @ query
    mixed = value @ (likeness / likeness.sum(1, keepdim=True))
    expected = layer.proj(mixed.reshape(1, -1, 5, 6))
    torch.testing.assert_close(layer(maps), expected, atol=1e-5, rtol=1e-4)


def test_the_official_mobile_sam_does_as_its_own_code_does():
    try:
        path = resolve("mobile_sam", log=lambda line: None).path
    except WeightsError as error:
        pytest.skip(f"the checkpoint cannot be had here: {error}")
    model = mobile_sam.mobile_sam(path, 0, CPU, torch.float32)
    picture = scene()
    point = torch.tensor([[[[0.4, 0.55]]]])
    labels = torch.ones(1, 1, 1, dtype=torch.int)
    logits, scores = model.decode(model.encode(picture), Prompts(point, labels))
    masks = model.to_image(logits[0], *picture.shape[-2:]) > 0
    torch.testing.assert_close(scores[0, 0], torch.tensor(MOBILE_SCORES), atol=2e-3, rtol=0)
    areas = masks[0].float().mean((1, 2))
    torch.testing.assert_close(areas, torch.tensor(MOBILE_AREAS), atol=2e-3, rtol=0)
