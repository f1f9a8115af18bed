"""``import samg_ros``: what it offers, and what it leaves alone until it is asked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import masking_fixtures as small
import numpy as np
import pytest

import samg_ros
from samg_ros.errors import InvalidReferenceError

HEAVY = ("torch", "transformers", "cv2", "numpy", "mujoco", "gymnasium", "rclpy", "matplotlib")


def imported_by(statement: str) -> set[str]:
    """The modules that a fresh interpreter has after a statement."""
    script = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_package_alone_imports_nothing_heavy():
    assert not imported_by("import samg_ros; samg_ros.__version__").intersection(HEAVY)


def test_the_configuration_needs_no_torch():
    assert not imported_by("from samg_ros import MaskerConfig").intersection(HEAVY)


def test_masking_needs_neither_ros_nor_a_simulator():
    taken = imported_by("import samg_ros; samg_ros.load_masker")
    assert "torch" in taken
    assert not taken.intersection({"mujoco", "gymnasium", "rclpy", "sim_bridge", "policies"})


def test_everything_that_is_named_is_there():
    assert set(samg_ros.__all__) <= set(dir(samg_ros))
    for name in samg_ros.__all__:
        assert getattr(samg_ros, name)
    with pytest.raises(AttributeError, match="module 'samg_ros' has no attribute 'load_mask'"):
        _ = samg_ros.load_mask


class TestReferenceFromMasks:
    rgb = small.scene(0, 30, 40)
    cup = small.disk(30, 40, 20, 15, 6)

    def test_is_saved_and_loaded_again(self, tmp_path: Path):
        path = tmp_path / "new folder" / "cup.npz"
        samg_ros.Reference.from_masks(self.rgb, {"cup": self.cup}).save(str(path))
        again = samg_ros.Reference.load(str(path))
        np.testing.assert_array_equal(again.views[0].image, self.rgb)
        (target,) = again.views[0].targets
        assert target.name == "cup" and target.points.shape == (5, 2)
        np.testing.assert_array_equal(target.mask, self.cup)
        columns, rows = target.points.astype(int).T
        assert self.cup[rows, columns].all()
        assert sorted(p.name for p in path.parent.iterdir()) == ["cup.npz"]

    def test_takes_points_and_masks_of_whole_numbers(self):
        reference = samg_ros.Reference.from_masks(
            self.rgb,
            {"cup": self.cup.astype(np.uint8) * 255, "pen": ~self.cup},
            points={"cup": [(20, 15)]},
            parts=2,
        )
        cup, pen = reference.views[0].targets
        np.testing.assert_array_equal(cup.mask, self.cup)
        assert cup.points.tolist() == [[20, 15]] and len(pen.points) == 2

    @pytest.mark.parametrize(
        ("masks", "points", "reason"),
        [
            ({"cup": cup * 0.5}, {}, "mask of target 'cup' is float64"),
            ({"cup": cup[:20]}, {}, r"mask of target 'cup' is bool \(20, 40\)"),
            ({"cup": cup & False}, {}, "mask of target 'cup' is empty"),
            ({}, {}, "at least one target"),
            ({"cup": cup}, {"pen": [(1, 1)]}, "points of 'pen', which has no mask; there are: c"),
            ({"cup": cup}, {"cup": [(1, 90)]}, "lies outside the 40x30 image"),
        ],
    )
    def test_what_is_refused(self, masks: dict, points: dict, reason: str):
        with pytest.raises(InvalidReferenceError, match=reason):
            samg_ros.Reference.from_masks(self.rgb, masks, points)

    def test_a_save_that_fails_leaves_what_was_there(self, tmp_path: Path, monkeypatch):
        path = tmp_path / "cup.npz"
        reference = samg_ros.Reference.from_masks(self.rgb, {"cup": self.cup})
        reference.save(path)
        before = path.read_bytes()

        def cut(file, **arrays):
            file.write(before[:100])

        monkeypatch.setattr(np, "savez_compressed", cut)
        with pytest.raises(InvalidReferenceError, match="not a readable reference"):
            reference.save(path)
        assert path.read_bytes() == before
