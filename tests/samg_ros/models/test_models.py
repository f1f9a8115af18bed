"""What every registered model keeps to: shapes, types, batches, frame sizes, number types."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from samg_ros.errors import ConfigError
from samg_ros.models.base import Prompts, choose_device, choose_dtype, models
from samg_ros.weights import catalogue

# A multiple of both SAM 2's stride (32) and DINOv2's patch (14).
SIZE = 224
CPU = torch.device("cpu")
META = torch.device("meta")
# The smallest model of each implementation runs with numbers; the others differ from it in widths
# and depths only, and run on the meta device, where tensors have shapes alone.
WITH_NUMBERS = (
    "dinov2_small",
    "efficientvit_sam_l0",
    "mobile_sam",
    "sam2_hiera_tiny",
    "sam_vit_b",
)
NO_CUDA = "there is no CUDA device on this machine"
NO_BF16 = "this CPU emulates bf16, and takes minutes for some convolutions"


def make(name: str, device: torch.device = CPU, dtype: torch.dtype = torch.float32) -> Any:
    """The model with random weights, the same every time."""
    torch.manual_seed(0)
    return models.get(name)(None, SIZE, device, dtype)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module", params=WITH_NUMBERS)
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def model(name: str) -> Any:
    return make(name)


@pytest.fixture(scope="module")
def segmenter(name: str, model: Any) -> Any:
    if not is_segmenter(model):
        pytest.skip(f"{name} is a feature extractor")
    return model


def images(batch: int, height: int = 48, width: int = 64) -> torch.Tensor:
    """Different pictures, float [B, 3, H, W] in [0, 1]."""
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(batch))


def prompts(batch: int, targets: int, mask_size: int = 0) -> Prompts:
    """Different prompts for every target of every image; with a box and a mask if asked for."""
    generator = torch.Generator().manual_seed(1)
    points = torch.rand(batch, targets, 3, 2, generator=generator)
    labels = torch.tensor([1, 0, 1], dtype=torch.int).expand(batch, targets, -1)
    if not mask_size:
        return Prompts(points, labels)
    corners = torch.rand(batch, targets, 2, 2, generator=generator).sort(2).values
    masks = torch.randn(batch, targets, mask_size, mask_size, generator=generator) * 4
    return Prompts(points, labels, corners.flatten(2), masks)


def part_of(whole: Prompts, b: int, t: int) -> Prompts:
    """The prompts of one target of one image, as a batch of one."""
    one = (slice(b, b + 1), slice(t, t + 1))
    return Prompts(
        whole.points[one],
        whole.labels[one],
        None if whole.boxes is None else whole.boxes[one],
        None if whole.masks is None else whole.masks[one],
    )


@pytest.fixture(scope="module")
def cells(model: Any) -> torch.Tensor:
    """The map of two pictures, which several tests compare with."""
    return look(model, images(2))


@pytest.fixture(scope="module")
def embedding(segmenter: Any) -> Any:
    """Of the same two pictures."""
    return segmenter.encode(images(2))


def is_segmenter(model: Any) -> bool:
    return hasattr(model, "decode")


def look(model: Any, pictures: torch.Tensor) -> torch.Tensor:
    """The map in which cells are compared, of a model of either kind."""
    if is_segmenter(model):
        return model.encode(pictures).correspondence
    return model(pictures)


def facts_of(model: Any) -> catalogue.Facts:
    """What the catalogue tells of a model in bf16 on the meta device."""
    side = model.input_size
    sizes = [(p.numel(), p.dtype == torch.bfloat16) for p in model.network.parameters()]
    return catalogue.Facts(
        parameters=sum(size for size, _ in sizes),
        halved=sum(size for size, halved in sizes if halved),
        input_size=side,
        grid=look(model, torch.empty(1, 3, side, side, device=META)).shape[-1],
    )


def close(one: torch.Tensor, other: torch.Tensor, tolerance: float) -> None:
    """Equal up to a part of the other's spread."""
    torch.testing.assert_close(one, other, rtol=0, atol=tolerance * float(other.std()))


def agreement(one: torch.Tensor, other: torch.Tensor) -> float:
    """Mean cosine between the cells of two maps."""
    return float(torch.nn.functional.cosine_similarity(one, other, dim=1).mean())


class TestEveryName:
    """All of them, on the meta device."""

    @pytest.mark.parametrize("name", models.names())
    def test_builds_at_its_own_size_and_at_another(self, name: str):
        own = models.get(name)(None, 0, META, torch.bfloat16)
        assert own.input_size >= 512 and own.device == META
        assert facts_of(own) == catalogue.get(name).facts
        model = models.get(name)(None, SIZE, META, torch.bfloat16)
        assert is_segmenter(model) == (catalogue.get(name).role == "segmenter")
        cells = look(model, torch.empty(2, 3, SIZE, SIZE, device=META))
        assert cells.dtype == torch.float32 and cells.shape[0] == 2
        assert cells.shape[-1] == cells.shape[-2] >= model.input_size // 16
        assert torch.bfloat16 in {p.dtype for p in model.network.parameters()}
        assert not any(p.requires_grad for p in model.network.parameters())

    @pytest.mark.parametrize("name", models.names())
    def test_a_size_that_does_not_fit_is_refused(self, name: str):
        for size in (225, 28, 32):
            with pytest.raises(ConfigError, match=rf"input_size {size}.*multiple of"):
                models.get(name)(None, size, META, torch.float32)

    def test_each_has_a_checkpoint(self):
        assert set(models.names()) == set(catalogue.CHECKPOINTS)


def test_an_unknown_name_lists_the_choices():
    with pytest.raises(ConfigError, match=f"unknown model 'sam9'.*{models.names()[0]}"):
        models.get("sam9")


class TestEveryModel:
    def test_says_where_it_is(self, model: Any):
        assert model.device == CPU

    def test_map_is_float32_and_batch_first(self, cells: torch.Tensor):
        assert cells.dtype == torch.float32 and cells.device == CPU
        assert cells.ndim == 4 and cells.shape[0] == 2
        assert not cells.requires_grad and torch.isfinite(cells).all()

    def test_pictures_differ_and_are_not_changed(self, model: Any, cells: torch.Tensor):
        assert not torch.allclose(cells[0], cells[1], atol=1e-3)
        pictures = images(1)
        look(model, pictures)
        assert torch.equal(pictures, images(1))

    def test_a_batch_equals_a_loop(self, model: Any, cells: torch.Tensor):
        loop = torch.cat([look(model, picture[None]) for picture in images(2)])
        close(cells, loop, 1e-3)

    @pytest.mark.parametrize("size", [(1, 1), (33, 91), (300, 40)])
    def test_takes_frames_of_any_size(self, model: Any, cells: torch.Tensor, size):
        other = look(model, images(1, *size))
        assert other.shape == cells[:1].shape and torch.isfinite(other).all()

    @pytest.mark.skipif(choose_dtype("auto", CPU) != torch.bfloat16, reason=NO_BF16)
    def test_bf16_gives_nearly_the_same(self, name: str, cells: torch.Tensor):
        """fp16 is left to CUDA: a CPU takes minutes for some of its convolutions."""
        coarse = look(make(name, dtype=torch.bfloat16), images(2))
        assert coarse.dtype == torch.float32
        assert agreement(coarse, cells) > 0.98

    @pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_CUDA)
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
    def test_on_cuda(self, name: str, cells: torch.Tensor, dtype: torch.dtype):
        there = look(make(name, torch.device("cuda"), dtype), images(2).cuda())
        assert there.is_cuda and there.dtype == torch.float32
        assert agreement(there.cpu(), cells) > 0.98


class TestEverySegmenter:
    @pytest.mark.parametrize("refined", [False, True], ids=["points", "points, box, mask"])
    def test_decodes_targets_of_images(self, segmenter: Any, embedding: Any, refined: bool):
        size = segmenter.mask_size
        logits, scores = segmenter.decode(embedding, prompts(2, 3, size if refined else 0))
        assert logits.shape == (2, 3, 3, size, size) and logits.dtype == torch.float32
        assert scores.shape == (2, 3, 3) and scores.dtype == torch.float32
        assert torch.isfinite(logits).all() and not logits.requires_grad

    def test_a_batch_equals_a_loop(self, segmenter: Any, embedding: Any):
        """Every target of every image, decoded on its own, gives what it gives in the batch."""
        rounds = [prompts(2, 2), prompts(2, 2, segmenter.mask_size)]
        together = [segmenter.decode(embedding, asked) for asked in rounds]
        for b in range(2):
            single = segmenter.encode(images(2)[b : b + 1])
            for asked, (logits, scores) in zip(rounds, together, strict=True):
                for t in range(2):
                    alone, score = segmenter.decode(single, part_of(asked, b, t))
                    close(logits[b, t], alone[0, 0], 1e-2)
                    torch.testing.assert_close(scores[b, t], score[0, 0], atol=1e-3, rtol=0)

    def test_prompts_matter(self, segmenter: Any, embedding: Any):
        refined = prompts(2, 1, segmenter.mask_size)
        variants = [
            Prompts(refined.points, refined.labels),
            Prompts(1 - refined.points, refined.labels),
            Prompts(refined.points, 1 - refined.labels),
            Prompts(refined.points, refined.labels, refined.boxes),
            refined,
        ]
        answers = [segmenter.decode(embedding, variant)[0] for variant in variants]
        for first in range(len(answers)):
            for other in range(first):
                assert not torch.allclose(answers[first], answers[other], atol=1e-6)

    def test_masks_are_brought_to_image_size(self, segmenter: Any):
        size = segmenter.mask_size
        logits = torch.full((2, 1, size, size), -1.0)
        logits[:, :, : size // 2, size // 2 :] = 1
        large = segmenter.to_image(logits, 100, 100)
        assert large.shape == (2, 1, 100, 100)
        expected = torch.zeros(100, 100, dtype=torch.bool)
        expected[:50, 50:] = True
        assert ((large[1, 0] > 0) == expected).float().mean() > 0.97

    @pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_CUDA)
    def test_decodes_on_cuda(self, name: str, segmenter: Any, embedding: Any):
        on_cuda = make(name, torch.device("cuda"))
        asked = prompts(2, 2)
        there = Prompts(asked.points.cuda(), asked.labels.cuda())
        logits, scores = on_cuda.decode(on_cuda.encode(images(2).cuda()), there)
        expected, _ = segmenter.decode(embedding, asked)
        assert logits.is_cuda and scores.is_cuda
        close(logits.cpu(), expected, 0.1)


class TestDevices:
    def test_auto_and_named_ones(self):
        expected = "cuda" if torch.cuda.is_available() else "cpu"
        assert choose_device("auto").type == expected
        assert choose_device("cpu") == CPU
        for missing in ("cuda:99", "nonsense"):
            with pytest.raises(ConfigError, match=f"device '{missing}' cannot be used here"):
                choose_device(missing)

    def test_number_types(self):
        assert choose_dtype("fp32", CPU) == torch.float32
        assert choose_dtype("fp16", META) == torch.float16
        assert choose_dtype("bf16", CPU) == torch.bfloat16
        assert choose_dtype("auto", CPU) in (torch.float32, torch.bfloat16)
        with pytest.raises(ConfigError, match=r"precision 'fp8'.*auto, fp32, bf16, fp16"):
            choose_dtype("fp8", CPU)
        with pytest.raises(ConfigError, match=r"'fp16' is unusably slow on a CPU.*bf16 or fp32"):
            choose_dtype("fp16", CPU)
