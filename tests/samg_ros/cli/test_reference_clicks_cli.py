"""``samg reference clicks``: clicks become masks, or are refused with the reason."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from samg_ros import cli
from samg_ros.cli.reference import parse_clicks, protect_negative_clicks
from samg_ros.masking.clicks import Clicks, choose, segment_clicks
from samg_ros.masking.reference import Reference
from samg_ros.models.base import Embedding, Prompts

HEIGHT, WIDTH = 48, 64
SCENE = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)


def disk(x: float, y: float, radius: float) -> np.ndarray:
    ys, xs = np.mgrid[:HEIGHT, :WIDTH]
    return (xs - x) ** 2 + (ys - y) ** 2 <= radius**2


def run(*words: str) -> int:
    return cli.main(["reference", *words])


class Rings:
    """Offers three disks about the first positive click: a part, the thing, nearly everything."""

    input_size, mask_size, device = 64, 64, torch.device("cpu")
    radii, scores = (4, 12, 30), (0.5, 0.9, 0.8)

    def encode(self, images: Tensor) -> Embedding:
        return Embedding(features=images, correspondence=images)

    def decode(self, embedding: Embedding, prompts: Prompts) -> tuple[Tensor, Tensor]:
        x, y = (prompts.points[0, 0, 0] * torch.tensor([WIDTH, HEIGHT])).tolist()
        rings = [torch.from_numpy(disk(x - 0.5, y - 0.5, r)) for r in self.radii]
        logits = torch.stack(rings).float()[None] * 2 - 1
        low = F.interpolate(logits, (self.mask_size, self.mask_size))
        return low[:, None], torch.tensor([[self.scores]])

    def to_image(self, logits: Tensor, height: int, width: int) -> Tensor:
        return F.interpolate(logits, (height, width), mode="bilinear", align_corners=False)


class TestClicks:
    @pytest.fixture
    def desk(self, tmp_path, monkeypatch) -> Path:
        """The working folder, with a picture in it."""
        monkeypatch.chdir(tmp_path)
        cv2.imwrite("desk.png", SCENE)
        return tmp_path

    @pytest.fixture(autouse=True)
    def rings(self, monkeypatch):
        monkeypatch.setattr("samg_ros.cli.reference.load_segmenter", lambda _: Rings())

    def test_several_targets_and_negative_clicks(self, desk):
        cup = ("--target", "cup", "20,20", "25,20", "-45,20")
        assert run("clicks", "desk.png", *cup, "--target", "pen", "50,30") == 0
        reference = Reference.load(desk / "desk.npz")
        cup_target, _ = reference.views[0].targets
        assert reference.names == ("cup", "pen")
        assert cup_target.mask[20, 25] and not cup_target.mask[20, 45]
        assert reference.about["targets"] == {
            "cup": ["20,20", "25,20", "-45,20"],
            "pen": ["50,30"],
        }

    @pytest.mark.parametrize(
        ("clicks", "extent", "radius"),
        [
            (Clicks("a", ((20, 20), (25, 20))), "auto", 12),
            (Clicks("a", ((20, 20),)), "auto", 30),  # one click: the largest of the good ones
            (Clicks("a", ((20, 20),), ((50, 20),)), "auto", 12),
            (Clicks("a", ((20, 20), (45, 20))), "auto", 30),
            (Clicks("a", ((20, 20),), ((27, 20),)), "whole", 4),
            (Clicks("a", ((20, 20), (21, 20))), "part", 4),
            (Clicks("a", ((20, 20), (21, 20))), "whole", 30),
        ],
    )
    def test_which_mask_is_meant(self, clicks, extent, radius):
        masks = np.stack([disk(20, 20, r) for r in Rings.radii])
        chosen, agrees = choose(masks, np.array(Rings.scores), clicks, extent)
        assert agrees and Rings.radii[chosen] == radius
        (mask,) = segment_clicks(Rings(), SCENE, [clicks], extent)
        wanted = masks[chosen]
        assert (mask & wanted).sum() / (mask | wanted).sum() > 0.8

    @pytest.mark.parametrize(
        ("words", "reason"),
        [
            (("cup", "20,20", "-20,21"), "covers -20,21"),
            (("cup", "5,5", "60,45"), "misses 60,45"),
            (("cup", "64,20"), "64,20 for target 'cup' lies outside the 64x48 image"),
            (("cup", "20,20", "-3,48"), "3,48 for target 'cup' lies outside"),
            (("cup", "-20,20"), "needs a click on it"),
            (("cup", "20"), "write X,Y"),
            (("20,20",), "begin each --target with its name"),
            (("cup", "20,20", "--target", "cup", "21,20"), "names must differ"),
            (("cup", "20,20", "--extent", "all"), "choose one of"),
        ],
    )
    def test_refusals(self, desk, words, reason, capsys):
        assert run("clicks", "desk.png", "--target", *words) == 1
        assert reason in capsys.readouterr().err
        assert not list(desk.glob("*.npz"))

    def test_no_target_and_no_picture(self, desk, capsys):
        assert run("clicks", "desk.png") == 1
        assert run("clicks", "away.png", "--target", "cup", "2,2") == 1
        errors = capsys.readouterr().err
        assert "at least one --target" in errors and "cannot read away.png" in errors


def test_negative_clicks_are_not_options():
    words = ["--target", "a", "-90,20", "-0.5,3", "--out", "-x"]
    assert protect_negative_clicks(words) == ["--target", "a", " -90,20", " -0.5,3", "--out", "-x"]
    parsed = parse_clicks(("a", "1,2", " -90,20", " -0,5"))
    assert parsed == Clicks("a", ((1, 2),), ((90, 20), (0, 5)))
