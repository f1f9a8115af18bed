"""``samg mask`` over videos: what comes out, and runs that end early."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import cv2
import numpy as np
import pytest
from offline_fixtures import (
    RedMasker,
    contents,
    frame,
    lines,
    mask,
    write_reference,
    write_video,
)

from samg_ros.recorded.video import VideoWriter

FRAMES = 9


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


def video(path: Path) -> list[np.ndarray]:
    capture, frames = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        frames.append(read[1][..., ::-1])
    return frames


class TestVideo:
    @pytest.fixture
    def clip(self, tmp_path) -> Path:
        """Nine frames; in the sixth the target is gone."""
        frames = [frame(i, visible=i != 5) for i in range(FRAMES)]
        return write_video(tmp_path / "clip.mp4", frames)

    def test_masked_and_overlay(self, clip, reference, tmp_path, use):
        use(RedMasker())
        assert mask(clip, reference, tmp_path / "out") == 0
        masked, overlay = (video(tmp_path / "out" / f"{n}.mp4") for n in ("masked", "overlay"))
        assert len(masked) == len(overlay) == FRAMES
        assert masked[2][5, 5].max() < 30 and masked[2][20, 20, 0] > 150
        assert overlay[2][20, 20, 1] > 80  # tinted green

    @pytest.mark.parametrize(
        ("on_lost", "inside", "outside"),
        [("hold", True, False), ("blank", False, False), ("passthrough", True, True)],
    )
    def test_a_lost_frame(self, clip, reference, tmp_path, use, on_lost, inside, outside):
        use(RedMasker())
        mask(clip, reference, tmp_path / "out", "--on-lost", on_lost)
        lost = video(tmp_path / "out/masked.mp4")[5]
        assert (lost[20, 25].max() > 60) == inside
        assert (lost[40, 60].max() > 60) == outside
        assert lines(tmp_path / "out")[5]["status"] == "lost"

    def test_another_way_with_lost_frames_needs_no_new_masks(self, clip, reference, tmp_path, use):
        use(RedMasker())
        mask(clip, reference, tmp_path / "out")
        again = use(RedMasker())
        mask(clip, reference, tmp_path / "out", "--on-lost", "passthrough")
        assert again.batches == []
        assert video(tmp_path / "out/masked.mp4")[5][40, 60].max() > 60

    def test_an_interrupted_run_goes_on_and_ends_the_same(self, clip, reference, tmp_path, use):
        use(RedMasker())
        mask(clip, reference, tmp_path / "whole", "--batch", "2")
        use(RedMasker(stop_after=2))
        assert mask(clip, reference, tmp_path / "cut", "--batch", "2") == 130
        assert len(lines(tmp_path / "cut")) == 4
        with (tmp_path / "cut/scores.jsonl").open("a") as file:
            file.write('{"frame": "0000')  # killed while writing
        again = use(RedMasker())
        assert mask(clip, reference, tmp_path / "cut", "--batch", "2") == 0
        assert sum(shape[0] for shape in again.batches) == FRAMES - 4
        assert contents(tmp_path / "cut") == contents(tmp_path / "whole")

    def test_a_killed_run_goes_on_and_ends_the_same(self, clip, reference, tmp_path, use):
        use(RedMasker())
        mask(clip, reference, tmp_path / "whole", "--batch", "2")
        arguments = ["mask", clip, "--reference", reference, "--out", tmp_path / "cut"]
        script = f"""
            import os, signal, samg_ros.masking.masker
            from offline_fixtures import RedMasker
            from samg_ros import cli
            class Killed(RedMasker):
                def mask_frames(self, frames):
                    if self.batches:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return super().mask_frames(frames)
            samg_ros.masking.masker.build_masker = lambda *_: Killed()
            cli.main({[str(a) for a in arguments]!r} + ["--batch", "2"])
        """
        paths = os.pathsep.join(
            [str(Path(__file__).parents[2] / "fixtures"), *filter(None, sys.path)]
        )
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)],
            env={**os.environ, "PYTHONPATH": paths},
            capture_output=True,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
        use(RedMasker())
        mask(clip, reference, tmp_path / "cut", "--batch", "2")
        assert contents(tmp_path / "cut") == contents(tmp_path / "whole")

    def test_a_full_disk(self, clip, reference, tmp_path, use, monkeypatch, capsys):
        use(RedMasker())
        write = Path.write_bytes

        def full(path: Path, data: bytes) -> int:
            if path.name == "00000004.png":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return write(path, data)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "write_bytes", full)
            assert mask(clip, reference, tmp_path / "out") == 1
        assert "No space left" in capsys.readouterr().err
        assert len(list((tmp_path / "out/masks").iterdir())) == len(lines(tmp_path / "out")) == 4
        assert mask(clip, reference, tmp_path / "out") == 0
        assert len(lines(tmp_path / "out")) == FRAMES


def test_frames_of_odd_size_keep_their_edge(tmp_path):
    writer = VideoWriter(tmp_path / "odd.mp4", fps=10)
    writer.write(frame(0, (49, 65)))
    writer.close()
    good, picture = cv2.VideoCapture(str(tmp_path / "odd.mp4")).read()
    assert good and picture.shape == (50, 66, 3)
