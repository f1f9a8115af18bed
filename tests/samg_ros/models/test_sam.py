"""SAM's decoder in batches, its padding, and its encoders, against the package's own code."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest
import torch
from kinds import quick

from samg_ros.errors import ConfigError, WeightsError
from samg_ros.models import sam, sam_vit
from samg_ros.models.base import Embedding, Prompts, models
from samg_ros.models.loading import scaled_size
from samg_ros.models.sam import SamSegmenter
from samg_ros.weights import catalogue
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
# The larger EfficientViT has the smaller's code.
MEASURED = ("mobile_sam", "efficientvit_sam_l0")
# Digests of the encoders' names and shapes, and probes of their outputs: see `fill`.
KNOWN = [
    ("mobile_sam", "5b822631a33cfbe8", (-0.01312, 0.95859, -0.66834, 0.85253)),
    ("efficientvit_sam_l0", "bec95a1367b25b75", (0.54509, 0.02876, -0.14121, 0.88462)),
    ("efficientvit_sam_l1", "bbd8043377c24926", (0.14280, 0.08278, 1.96016, 0.88388)),
]
pytestmark = pytest.mark.usefixtures("one_thread")


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


def scene(height: int = 360, width: int = 480, *, shapes: bool = True) -> torch.Tensor:
    """A gradient, with a disc and a box on it unless asked otherwise, float [1, 3, H, W]."""
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    picture = torch.stack([x, y, 0.5 + 0.5 * torch.sin(12 * x + 7 * y)])
    if not shapes:
        return picture[None]
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
        encoder = sam_vit._encoder(sam_vit.FAMILY["sam_vit_b"])
    before = encoder.pos_embed
    sam_vit.resize_positions(encoder, 64)
    assert encoder.pos_embed is before
    sam_vit.resize_positions(encoder, 20)
    assert encoder.pos_embed.shape == (1, 20, 20, 768)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("sam_vit_b", 93.7),
        ("sam_vit_l", 312.3),
        ("sam_vit_h", 641.1),
        ("efficientvit_sam_l0", 34.8),
        ("efficientvit_sam_l1", 47.7),
    ],
)
def test_parameters_are_as_published(name, published: float):
    """In millions, from the authors' tables; what the models hold is compared elsewhere."""
    count = catalogue.get(name).facts.parameters / 1e6
    assert count == pytest.approx(published, abs=0.06)


def fill(network: torch.nn.Module) -> None:
    """Give every tensor the same waves, whatever version of torch draws random numbers."""
    for index, (name, tensor) in enumerate(sorted(network.state_dict().items())):
        if not tensor.is_floating_point():
            continue
        wave = torch.sin(torch.arange(1009, dtype=torch.float64) * 0.7 + index)
        wave = wave.repeat(-(-tensor.numel() // 1009))[: tensor.numel()]
        around = 1.0 if tensor.ndim == 1 and name.endswith(("weight", "var")) else 0.0
        scale = 0.3 if tensor.ndim < 2 else 1.4 / tensor[0].numel() ** 0.5
        tensor.copy_(around + scale * wave.view(tensor.shape))


@pytest.mark.parametrize(("name", "listed", "known"), quick(KNOWN, MEASURED))
def test_the_librarys_encoders_are_those_the_checkpoints_are_for(name, listed, known):
    """Names, shapes and a few of the numbers that our own rendering of each encoder gave.

    That one loaded the official files strictly and, for MobileSAM, gave the official masks.
    """
    encoder = models.get(name)(None, 224, CPU, torch.float32).network.image_encoder
    names = "\n".join(f"{k} {tuple(v.shape)}" for k, v in sorted(encoder.state_dict().items()))
    assert hashlib.sha256(names.encode()).hexdigest()[:16] == listed
    fill(encoder)
    encoder.eval()
    pixels = torch.nn.functional.interpolate(
        scene(96, 128, shapes=False), (224, 224), mode="bilinear"
    )
    with torch.no_grad():
        y = encoder(pixels * 4 - 2)[0]
    given = y[7].mean(), y[100].std(), y[200, 3, 5], y[:, 5, 3].abs().mean()
    torch.testing.assert_close(torch.stack(given), torch.tensor(known), atol=1e-4, rtol=0)


def test_a_missing_library_is_named(monkeypatch):
    for name in ("kornia.models.tiny_vit", "kornia.contrib.models.tiny_vit"):
        monkeypatch.setitem(sys.modules, name, None)  # importing it raises
    with pytest.raises(ConfigError, match=r"pip install 'samg_ros\[models\]'"):
        sam_vit.mobile_sam(None, 0, META, torch.float32)


def test_the_official_mobile_sam_does_as_its_own_code_does():
    try:
        path = resolve("mobile_sam", log=lambda line: None).path
    except WeightsError as error:
        pytest.skip(f"the checkpoint cannot be had here: {error}")
    model = sam_vit.mobile_sam(path, 0, CPU, torch.float32)
    picture = scene()
    point = torch.tensor([[[[0.4, 0.55]]]])
    labels = torch.ones(1, 1, 1, dtype=torch.int)
    logits, scores = model.decode(model.encode(picture), Prompts(point, labels))
    masks = model.to_image(logits[0], *picture.shape[-2:]) > 0
    torch.testing.assert_close(scores[0, 0], torch.tensor(MOBILE_SCORES), atol=2e-3, rtol=0)
    areas = masks[0].float().mean((1, 2))
    torch.testing.assert_close(areas, torch.tensor(MOBILE_AREAS), atol=2e-3, rtol=0)
