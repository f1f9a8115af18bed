"""``samg reference``: what is written, and what is refused and why."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from samg_ros import cli
from samg_ros.masking.reference import Reference, shipped_reference

HEIGHT, WIDTH = 48, 64


def disk(x: float, y: float, radius: float) -> np.ndarray:
    ys, xs = np.mgrid[:HEIGHT, :WIDTH]
    return (xs - x) ** 2 + (ys - y) ** 2 <= radius**2


CUP, PEN = disk(20, 20, 9), disk(50, 30, 7)
_YS, _XS = np.mgrid[:HEIGHT, :WIDTH]
SCENE = np.stack([_XS * 4, _YS * 5, _XS + _YS], 2).astype(np.uint8)


def save(path: Path, pixels: np.ndarray) -> str:
    cv2.imwrite(str(path), pixels[..., ::-1] if pixels.ndim == 3 else pixels)
    return str(path)


@pytest.fixture
def desk(tmp_path, monkeypatch) -> Path:
    """A folder, also the working one, with a picture, two masks and a label image."""
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "desk.png", SCENE)
    save(tmp_path / "cup.png", CUP.astype(np.uint8) * 255)
    save(tmp_path / "pen.png", PEN.astype(np.uint8))
    save(tmp_path / "labels.png", CUP.astype(np.uint8) * 3 + PEN.astype(np.uint8) * 7)
    return tmp_path


def run(*words: object) -> int:
    return cli.main(["reference", *map(str, words)])


def made(path: Path | str = "desk.npz") -> dict[str, np.ndarray]:
    """The masks of a reference's last view."""
    return {target.name: target.mask for target in Reference.load(Path(path)).views[-1].targets}


class TestFiles:
    def test_masks_are_named_after_their_files(self, desk):
        assert run("files", "desk.png", "cup.png", "pen.png") == 0
        (view,) = Reference.load(desk / "desk.npz").views
        assert (view.image == SCENE).all()
        assert [target.name for target in view.targets] == ["cup", "pen"]
        for target, mask in zip(view.targets, (CUP, PEN), strict=True):
            assert (target.mask == mask).all()
            assert len(target.points) == 5
            assert all(mask[int(y), int(x)] for x, y in target.points)
        assert cv2.imread(str(desk / "desk.preview.png")).shape == (WIDTH, 3 * WIDTH, 3)

    @pytest.mark.parametrize(
        "words",
        [
            ("mug=cup.png", "pencil=pen.png"),
            ("cup.png", "pen.png", "--names", "mug", "pencil"),
            ("labels.png", "--names", "mug", "pencil"),
            ("mug=labels.png:3", "pencil=labels.png:7"),
        ],
    )
    def test_ways_to_name_targets(self, desk, words):
        assert run("files", "desk.png", *words, "--out", "named.npz") == 0
        masks = made("named.npz")
        assert list(masks) == ["mug", "pencil"]
        assert (masks["mug"] == CUP).all() and (masks["pencil"] == PEN).all()

    def test_colours_and_cut_outs(self, desk):
        colours = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        colours[CUP], colours[PEN] = (128, 0, 0), (0, 128, 0)
        save(desk / "colours.png", colours)
        cut_out = np.dstack([SCENE[..., ::-1], CUP.astype(np.uint8) * 255])
        cv2.imwrite(str(desk / "cut.png"), cut_out)
        assert run("files", "desk.png", "cup=cut.png", "pen=colours.png:#008000") == 0
        assert (made()["cup"] == CUP).all() and (made()["pen"] == PEN).all()

    @pytest.mark.parametrize("name", ["desk.jpg", "deep.png", "clear.png"])
    def test_pictures_of_other_kinds(self, desk, name):
        pixels = {
            "desk.jpg": SCENE,
            "deep.png": SCENE.astype(np.uint16) * 257,
            "clear.png": np.dstack([np.full_like(CUP, 0, np.uint8), SCENE]),
        }[name]
        save(desk / name, pixels)
        assert run("files", name, "cup.png", "--out", "kind.npz") == 0
        (view,) = Reference.load(desk / "kind.npz").views
        assert np.abs(view.image.astype(int) - SCENE).mean() < 8

    def test_given_points_and_part_masks(self, desk):
        handle = disk(14, 20, 3)
        save(desk / "handle.png", handle.astype(np.uint8))
        points = ("--points", "cup", "20,20", "23.5,18")
        run(
            "files", "desk.png", "cup.png", "pen.png", *points, "--part-masks", "cup", "handle.png"
        )
        cup, pen = Reference.load(desk / "desk.npz").views[0].targets
        assert cup.points.tolist()[:2] == [[20, 20], [23.5, 18]]
        assert np.linalg.norm(cup.points[2] - [14, 20]) < 2
        assert len(cup.points) == 3 and len(pen.points) == 5

    def test_views_are_added(self, desk):
        run("files", "desk.png", "cup.png", "--out", "cup.npz")
        save(desk / "turned.png", SCENE[::-1])
        save(desk / "later.png", CUP[::-1].astype(np.uint8))
        assert run("files", "turned.png", "cup=later.png", "--add", "cup.npz") == 0
        reference = Reference.load(desk / "cup.npz")
        assert len(reference.views) == 2 and reference.names == ("cup",)
        assert (made("cup.npz")["cup"] == CUP[::-1]).all()
        assert reference.about["added"][0]["image"] == "turned.png"

    def test_a_new_name_in_an_added_view_is_pointed_out(self, desk, capsys):
        run("files", "desk.png", "cup.png", "--out", "cup.npz")
        run("files", "desk.png", "cpu=cup.png", "--add", "cup.npz")
        assert "new target in cup.npz: cpu" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("words", "reason"),
        [
            (("black.png",), "is empty"),
            (("white.png",), "covers all of the picture"),
            (("small.png",), "32x24, the image 64x48"),
            (("blurred.jpg",), "is a JPEG"),
            (("desk.png",), "a photograph, not a mask"),
            (("broken.png",), "not a whole picture"),
            (("nowhere.png",), "No such file"),
            ((), "at least one mask"),
            (("cup.png", "pen.png", "--names", "cup"), "2 masks, but 1 names"),
            (("labels.png", "--names", "a", "b", "c"), "(3, 7) for 3 names"),
            (("labels.png:5",), "has no 5; it has: 3, 7"),
            (("halves.tiff:1",), "numbers that are not whole"),
            (("nan.tiff",), "holds NaN or infinity"),
            (("nan.tiff", "--names", "cup", "pen"), "holds NaN or infinity"),
            (("cup.png", "cup=pen.png"), "two masks are called 'cup'"),
            (("cup.png", "--points", "cup", "64,20"), "outside the 64x48 image"),
            (("cup.png", "--points", "cup", "-1,20"), "outside the 64x48 image"),
            (("cup.png", "--points", "cup", "50,30"), "not on the mask"),
            (("cup.png", "--points", "cup", "50;30"), "write X,Y"),
            (("cup.png", "--points", "mug", "20,20"), "no target 'mug'; there are: cup"),
            (("cup.png", "--part-masks", "cup", "pen.png"), "nothing in common"),
            (("cup.png", "--add", "none.npz"), "no reference at none.npz"),
            (("cup.png", "--parts", "-1"), "must be within 0 to 64"),
        ],
    )
    def test_refusals(self, desk, words, reason, capsys):
        save(desk / "black.png", np.zeros((HEIGHT, WIDTH), np.uint8))
        save(desk / "white.png", np.full((HEIGHT, WIDTH), 255, np.uint8))
        save(desk / "small.png", np.eye(24, 32, dtype=np.uint8))
        save(desk / "blurred.jpg", CUP.astype(np.uint8) * 255)
        save(desk / "halves.tiff", np.where(CUP, 0.5, 0).astype(np.float32))
        save(desk / "nan.tiff", np.where(CUP, np.nan, 0).astype(np.float32))
        (desk / "broken.png").write_bytes((desk / "cup.png").read_bytes()[:40])
        assert run("files", "desk.png", *words) == 1
        assert reason in capsys.readouterr().err
        assert not list(desk.glob("*.npz"))

    def test_a_file_is_not_overwritten_unasked(self, desk, capsys):
        run("files", "desk.png", "cup.png")
        assert run("files", "desk.png", "pen.png") == 1
        assert "--overwrite" in capsys.readouterr().err
        assert list(made()) == ["cup"]
        assert run("files", "desk.png", "pen.png", "--overwrite") == 0
        assert list(made()) == ["pen"]


def test_a_shipped_reference_is_not_replaced_unasked(capsys):
    path = shipped_reference("finger_spin")
    before = path.read_bytes()
    assert run("sim", "finger_spin") == 1
    assert "--overwrite replaces it" in capsys.readouterr().err
    assert path.read_bytes() == before
