"""Backgrounds: what each kind shows, and what it says about files it cannot use."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from samg_ros.errors import ConfigError, ImageError
from sim_bridge.perturbations.backgrounds import (
    Background,
    NoiseBackground,
    composite,
    folder,
    photos,
)
from sim_bridge.perturbations.textures import SIZE, random_texture


def write_picture(
    path: Path, rgb: tuple[int, int, int], shape: tuple[int, int] = (30, 40)
) -> None:
    cv2.imwrite(str(path), np.full((*shape, 3), rgb[::-1], np.uint8))


def write_video(path: Path, frames: int) -> None:
    """Frame ``i`` is grey of brightness ``20 i``."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (32, 32))
    if not writer.isOpened():
        pytest.skip("this OpenCV cannot write videos")
    for i in range(frames):
        writer.write(np.full((32, 32, 3), 20 * i, np.uint8))
    writer.release()


def make(name: str) -> Background:
    if name == "noise":
        return NoiseBackground()
    pytest.importorskip("skimage", reason="needs the [sim] extra")
    return photos()


@pytest.mark.parametrize("name", ["photos", "noise"])
@pytest.mark.parametrize("size", [(1, 1), (84, 84), (300, 40)])
def test_same_seed_and_index_give_the_same_frame(name: str, size: tuple[int, int]) -> None:
    background, other = make(name), make(name)
    background.reset(1)
    background.frame(3, 20, 20)
    background.reset(4)
    other.reset(4)
    other.frame(90, 16, 16)
    for index in (0, 7, 1000):
        frame = background.frame(index, *size)
        assert frame.shape == (*size, 3) and frame.dtype == np.uint8
        np.testing.assert_array_equal(frame, other.frame(index, *size))


@pytest.mark.parametrize("name", ["photos", "noise"])
def test_it_moves_and_changes_with_the_seed(name: str) -> None:
    if name == "photos":
        pytest.importorskip("skimage", reason="needs the [sim] extra")
    background = make(name)
    starts = []
    for seed in range(4):
        background.reset(seed)
        starts.append(background.frame(0, 64, 64))
        assert not np.array_equal(starts[-1], background.frame(20, 64, 64))
    assert len({start.tobytes() for start in starts}) > 1


def test_frames_belong_to_the_caller() -> None:
    background = make("photos")
    background.reset(0)
    frame = background.frame(0, 32, 32)
    kept = frame.copy()
    frame[:] = 0
    np.testing.assert_array_equal(background.frame(0, 32, 32), kept)


def test_textures_tile_without_a_seam() -> None:
    """Across the seam, smooth textures change no more than they do inside."""
    for seed in range(40):
        texture = random_texture(np.random.default_rng(seed)).astype(int)
        assert texture.shape == (SIZE, SIZE, 3)
        inside = np.abs(np.diff(texture, axis=0)).mean(axis=(1, 2)).max()
        assert np.abs(texture[0] - texture[-1]).mean() <= 1.5 * inside + 1


def test_a_folder_shows_its_pictures_in_rgb(tmp_path: Path) -> None:
    write_picture(tmp_path / "red.png", (200, 10, 30))
    (tmp_path / "readme.txt").write_text("not a picture")
    background = folder(tmp_path)
    background.reset(0)
    np.testing.assert_array_equal(background.frame(5, 8, 9), np.full((8, 9, 3), (200, 10, 30)))


def test_a_folder_draws_another_file_at_another_reset(tmp_path: Path) -> None:
    for i in range(3):
        write_picture(tmp_path / f"{i}.png", (80 * i, 0, 0))
    background = folder(tmp_path)
    colours = set()
    for seed in range(20):
        background.reset(seed)
        colours.add(int(background.frame(0, 4, 4)[0, 0, 0]))
    assert colours == {0, 80, 160}


def test_a_video_plays_wraps_and_goes_back(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.avi", frames=6)
    background = folder(tmp_path)
    background.reset(0)
    for index in (0, 1, 2, 5, 6, 8, 3, 3, 11, 600):
        brightness = background.frame(index, 16, 24).mean()
        assert brightness == pytest.approx(20 * (index % 6), abs=4)


def header_says(monkeypatch: pytest.MonkeyPatch, count: float) -> None:
    open_video = cv2.VideoCapture

    class Capture:
        def __init__(self, path: str) -> None:
            self.read = open_video(path).read

        def get(self, key: int) -> float:
            assert key == cv2.CAP_PROP_FRAME_COUNT
            return count

    monkeypatch.setattr(cv2, "VideoCapture", Capture)


@pytest.mark.parametrize("count", [-2.3e17, 0, 6, 7, 60])
def test_the_true_end_of_a_video_is_found_whatever_its_header_says(
    count: float,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_video(tmp_path / "clip.avi", frames=6)
    header_says(monkeypatch, count)
    background = folder(tmp_path)
    background.reset(0)
    for index in (0, 1, 5, 6, 8, 3, 11):
        brightness = background.frame(index, 16, 24).mean()
        assert brightness == pytest.approx(20 * (index % 6), abs=4)
    assert ("ends after 6 of" in caplog.text) == (count > 6 / 0.9)


@pytest.mark.parametrize("name", ["broken.png", "broken.mp4"])
def test_an_unreadable_file_is_named_at_once(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"nothing to see" * 10)
    with pytest.raises(ImageError, match=name):
        folder(tmp_path)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no pictures or videos"):
        folder(tmp_path)


def test_a_file_that_breaks_later_is_named_at_the_reset(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", (0, 0, 0))
    background = folder(tmp_path)
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(ImageError, match=r"a\.png"):
        background.reset(0)


def test_frame_before_reset_says_so(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", (0, 0, 0))
    for background in (NoiseBackground(), folder(tmp_path)):
        with pytest.raises(ImageError, match="reset"):
            background.frame(0, 8, 8)


def test_composite_keeps_the_foreground() -> None:
    rgb, behind = np.full((4, 5, 3), 200, np.uint8), np.full((4, 5, 3), 10, np.uint8)
    foreground = np.zeros((4, 5), bool)
    foreground[1:3, 2] = True
    out = composite(rgb, foreground, behind)
    assert out.dtype == np.uint8
    np.testing.assert_array_equal(out[foreground], 200)
    np.testing.assert_array_equal(out[~foreground], 10)


def test_composite_refuses_other_sizes() -> None:
    rgb = np.zeros((4, 5, 3), np.uint8)
    with pytest.raises(ImageError, match=r"\(5, 4\)"):
        composite(rgb, np.zeros((5, 4), bool), rgb)
    with pytest.raises(ImageError, match=r"\(4, 6, 3\)"):
        composite(rgb, np.zeros((4, 5), bool), np.zeros((4, 6, 3), np.uint8))
