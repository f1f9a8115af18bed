"""``samg mask`` over pictures, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from zlib import crc32

import cv2
import numpy as np
import pytest
from offline_fixtures import RedMasker, frame, lines, mask, png, red, write_reference

from samg_ros.weights import cache
from samg_ros.weights.catalogue import get


@pytest.fixture
def reference(tmp_path) -> Path:
    return write_reference(tmp_path / "square.npz")


@pytest.fixture
def use(monkeypatch):
    """Lets ``samg mask`` build a given masker."""

    def patch(masker: RedMasker) -> RedMasker:
        monkeypatch.setattr("samg_ros.masking.masker.build_masker", lambda *_: masker)
        return masker

    return patch


def interrupted(*_) -> None:
    raise KeyboardInterrupt


@pytest.fixture
def pictures(tmp_path) -> Path:
    """Seven frames of two sizes (one a 16-bit PNG with alpha), a damaged one, a text file."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(5):
        cv2.imwrite(str(folder / f"{i}.png"), frame(i)[..., ::-1])
    deep = cv2.cvtColor(frame(5), cv2.COLOR_RGB2BGRA).astype(np.uint16) * 257
    cv2.imwrite(str(folder / "5.png"), deep)
    cv2.imwrite(str(folder / "6.bmp"), frame(6, (40, 80))[..., ::-1])
    (folder / "3x.png").write_bytes((folder / "3.png").read_bytes()[:60])
    (folder / "notes.txt").write_text("not a picture")
    return folder


class TestPictures:
    def test_every_picture_is_masked_and_a_damaged_one_reported(
        self, pictures, reference, tmp_path, use, capfd
    ):
        masker, out = use(RedMasker()), tmp_path / "out"
        assert mask(pictures, reference, out, "--batch", "4") == 0
        for i in range(7):
            rgb = frame(i) if i < 6 else frame(6, (40, 80))
            assert (png(out / "masked" / f"{i}.png") == rgb * red(rgb)[..., None]).all()
            assert (png(out / "masks" / f"{i}.png")[..., 0] == red(rgb) * 255).all()
        assert masker.batches == [(4, 48, 64, 3), (2, 48, 64, 3), (1, 40, 80, 3)]
        assert [line["frame"] for line in lines(out)] == ["0", "1", "2", "3", "3x", *"456"]
        bad = lines(out)[4]
        assert bad["status"] == "unreadable" and "3x.png" in bad["problem"]
        assert json.loads((out / "results.json").read_text())["frames"] == {
            "found": 7,
            "unreadable": 1,
        }
        assert "3x.png" in capfd.readouterr().err
        assert not list(out.rglob(".partial"))

    def test_one_picture_and_what_its_line_says(self, pictures, reference, tmp_path, use):
        use(RedMasker())
        assert mask(pictures / "2.png", reference, tmp_path / "out") == 0
        (line,) = lines(tmp_path / "out")
        assert line == {
            "frame": "2",
            "status": "found",
            "score": 0.9,
            "targets": {"square": {"status": "found", "score": 0.9}},
            "prompts": [[0.5, 0.5, 1], [0.5, 0.5, 0]],
            "digest": f"{crc32((pictures / '2.png').read_bytes()):08x}",
        }

    def test_pictures_that_differ_by_suffix_alone_stay_apart(self, reference, tmp_path, use):
        use(RedMasker())
        folder = tmp_path / "in"
        folder.mkdir()
        for i, name in enumerate(("a.png", "a.bmp", "a.bmp.png")):
            cv2.imwrite(str(folder / name), frame(i)[..., ::-1])
        mask(folder, reference, tmp_path / "out")
        made = sorted(p.name for p in (tmp_path / "out/masked").iterdir())
        assert made == ["a.bmp.png", "a.bmp.png.png", "a.png.png"]

    def test_nothing_is_made_again_for_a_picture_that_stays_unreadable(
        self, pictures, reference, tmp_path, use, capsys
    ):
        use(RedMasker())
        for _ in range(2):
            assert mask(pictures, reference, tmp_path / "out") == 0
        assert capsys.readouterr().err.count("nothing was left to do") == 1

    def test_a_mended_picture_is_masked_by_the_next_run(self, pictures, reference, tmp_path, use):
        use(RedMasker())
        mask(pictures, reference, tmp_path / "out")
        cv2.imwrite(str(pictures / "3x.png"), frame(3)[..., ::-1])
        again = use(RedMasker())
        mask(pictures, reference, tmp_path / "out")
        assert again.batches == [(1, 48, 64, 3)]
        assert (tmp_path / "out/masked/3x.png").is_file()
        assert {line["status"] for line in lines(tmp_path / "out")} == {"found"}

    def test_products_that_were_not_finished_are_made_by_the_next_run(
        self, pictures, reference, tmp_path, use, monkeypatch
    ):
        use(RedMasker())
        out, last = tmp_path / "out", pictures / "7.png"
        mask(pictures, reference, out)
        cv2.imwrite(str(last), frame(7)[..., ::-1])
        with monkeypatch.context() as patch:
            patch.setattr("samg_ros.recorded.kinds.write_pictures", interrupted)
            assert mask(pictures, reference, out) == 130
        assert not (out / "results.json").exists() and not (out / "masked/7.png").exists()
        for _ in range(2):
            assert mask(pictures, reference, out) == 0
            assert (out / "masked/7.png").is_file()
            assert json.loads((out / "results.json").read_text())["frames"]["found"] == 8
            shutil.rmtree(out / "masked")  # whoever removes it gets it again

    @pytest.mark.parametrize("size", [(48, 64), (60, 80)])
    def test_a_picture_that_was_replaced(self, size, pictures, reference, tmp_path, use, capsys):
        use(RedMasker())
        out = tmp_path / "out"
        mask(pictures, reference, out)
        cv2.imwrite(str(pictures / "0.png"), frame(9, size)[..., ::-1])
        cv2.imwrite(str(pictures / "7.png"), frame(7)[..., ::-1])
        assert mask(pictures, reference, out) == 1
        assert "0 is not the picture that was masked" in capsys.readouterr().err
        (out / "masks/0.png").unlink()
        assert mask(pictures, reference, out) == 0
        rgb = frame(9, size)
        assert (png(out / "masked/0.png") == rgb * red(rgb)[..., None]).all()

    def test_pictures_that_are_gone_count_no_longer(
        self, pictures, reference, tmp_path, use, capsys
    ):
        use(RedMasker())
        out = tmp_path / "out"
        mask(pictures, reference, out)
        (pictures / "0.png").unlink()
        assert mask(pictures, reference, out) == 0
        assert "1 frames are gone" in capsys.readouterr().err
        assert json.loads((out / "results.json").read_text())["frames"]["found"] == 6
        assert (out / "masks/0.png").is_file() and lines(out)[0]["frame"] == "1"

    def test_nothing_readable_is_a_failure(self, reference, tmp_path, use):
        use(RedMasker())
        (tmp_path / "bad.png").write_bytes(b"no picture")
        assert mask(tmp_path / "bad.png", reference, tmp_path / "out") == 1

    def test_large_frames_go_through_fewer_at_a_time(self, reference, tmp_path, use):
        folder = tmp_path / "in"
        folder.mkdir()
        for i in range(3):
            cv2.imwrite(str(folder / f"{i}.bmp"), frame(i, (960, 640)))
        masker = use(RedMasker())
        mask(folder, reference, tmp_path / "out", "--batch", "4")
        assert [shape[0] for shape in masker.batches] == [2, 1]


class TestRefusals:
    @pytest.mark.parametrize(
        ("name", "text"),
        [("nowhere", "there is no"), ("empty", "no pictures in"), ("bad.mp4", "as a video")],
    )
    def test_inputs(self, name, text, reference, tmp_path, capsys):
        (tmp_path / "empty").mkdir()
        (tmp_path / "bad.mp4").write_bytes(b"no video")
        assert mask(tmp_path / name, reference, tmp_path / "out") == 1
        assert text in capsys.readouterr().err
        assert not (tmp_path / "out").exists()

    def test_a_folder_of_something_else(self, pictures, reference, tmp_path, capsys):
        assert mask(pictures, reference, tmp_path) == 1
        assert "not empty" in capsys.readouterr().err

    def test_a_run_with_other_settings(self, pictures, reference, tmp_path, use, capsys):
        use(RedMasker())
        mask(pictures, reference, tmp_path / "out")
        assert mask(pictures, reference, tmp_path / "out", "--input-size", "256") == 1
        assert "masker.input_size" in capsys.readouterr().err
        assert mask(pictures, reference, tmp_path / "out", "--device", "cpu") == 0

    @pytest.mark.parametrize("name", ["a.png", "pictures"])
    def test_another_input_of_the_same_name(self, name, reference, tmp_path, use, capsys):
        """Masks of one must not be put on the other."""
        use(RedMasker())
        inputs = []
        for i, place in enumerate(("one", "two")):
            inputs.append(tmp_path / place / name)
            file = inputs[i] if name == "a.png" else inputs[i] / "a.png"
            file.parent.mkdir(parents=True)
            cv2.imwrite(str(file), frame(i)[..., ::-1])
        assert mask(inputs[0], reference, tmp_path / "out") == 0
        assert mask(inputs[1], reference, tmp_path / "out") == 1
        assert "run with other settings (input)" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("option", "model"), [("segmenter", "dinov2_small"), ("features", "sam2_hiera_tiny")]
    )
    def test_a_model_of_the_other_role(self, option, model, pictures, reference, tmp_path, capsys):
        assert mask(pictures, reference, tmp_path / "out", f"--{option}", model) == 1
        assert f"'{model}' cannot be the {option}" in capsys.readouterr().err

    def test_a_topic_of_what_is_no_bag(self, pictures, reference, tmp_path, capsys):
        assert mask(pictures, reference, tmp_path / "out", "--topic", "/camera") == 1
        assert "--topic is for bags" in capsys.readouterr().err


@pytest.mark.skipif(
    not all(cache.look(get(n)).usable for n in ("sam2_hiera_tiny", "dinov2_small")),
    reason="weights are not cached",
)
def test_a_picture_of_the_shipped_reference_by_the_real_method(tmp_path):
    from samg_ros.masking.reference import Reference, shipped_reference

    shipped = Reference.load(shipped_reference("adroit_door"))
    few, view = tmp_path / "door.npz", shipped.views[1]
    Reference(shipped.views[:2]).save(few)  # of the five: each costs an encoding
    cv2.imwrite(str(tmp_path / "door.png"), view.image[..., ::-1])
    small = ("--input-size", "256", "--feature-size", "112", "--scale-steps", "50")
    plain = ("--threads", "1", "--device", "cpu")
    assert mask(tmp_path / "door.png", few, tmp_path / "out", *small, *plain) == 0
    found = png(tmp_path / "out/masks/door.png")[..., 0] > 0
    truth = np.any([target.mask for target in view.targets], axis=0)
    assert (found & truth).sum() / (found | truth).sum() > 0.85
