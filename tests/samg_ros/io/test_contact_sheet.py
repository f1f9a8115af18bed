"""Contact sheets: pictures under their labels, and the JPEG they are kept as."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from samg_ros.errors import ImageError
from samg_ros.io import contact_sheet
from samg_ros.io.contact_sheet import break_label, draw_sheet, encode_jpeg


class TestSheet:
    def test_pictures_lie_under_their_labels(self):
        red, blue = (
            np.full((20, 40, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 0, 255))
        )
        sheet = draw_sheet(["a", "b"], ["x", "y"], [[red, blue], [None, red]])
        is_red, is_blue = ((sheet == p[0, 0]).all(-1) for p in (red, blue))
        assert is_red.sum() == 2 * 800 and is_blue.sum() == 800
        rows, columns = np.nonzero(is_blue)
        below = sheet[rows.max() + 1 :, columns.min() - 43 : columns.min()]
        assert (below == contact_sheet.EMPTY).all(-1).sum() == 800
        left_red = np.nonzero(is_red[rows.min() : rows.max() + 1])[1]
        assert left_red.max() < columns.min()
        ink = np.nonzero(sheet.max(-1) < 120)
        assert ink[1].size and ink[0].min() < rows.min() and ink[1].min() < left_red.min()

    def test_labels_are_broken_where_words_end(self):
        assert break_label("walker_walk", 500) == ["walker_walk"]
        assert break_label("arm_lift_peg_upright_ee", 96) == ["arm_lift_peg_", "upright_ee"]
        assert break_label("incomprehensibilities", 20) == ["incomprehensibilities"]
        long = "light_color=hard,camera_fov=easy"
        assert "".join(break_label(long, 60)) == long and len(break_label(long, 60)) > 3

    def test_pictures_of_different_sizes_are_refused(self):
        big, small = np.zeros((9, 9, 3), np.uint8), np.zeros((8, 9, 3), np.uint8)
        with pytest.raises(ImageError, match="one size"):
            draw_sheet(["a", "b"], ["x"], [[big, small]])
        with pytest.raises(ImageError, match="one size"):
            draw_sheet(["a"], ["x"], [[None]])

    def test_a_jpeg_fits_and_is_as_good_as_it_may(self):
        noise = np.random.default_rng(0).integers(0, 256, (200, 200, 1), np.uint8).repeat(3, 2)
        noise[:, :100] = 200, 30, 60
        large, small = encode_jpeg(noise, 10**6), encode_jpeg(noise, 10_000)
        assert len(small) <= 10_000 < len(large)
        errors = []
        for data in (large, small):
            seen = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
            errors.append(np.abs(seen.astype(int) - noise).mean())
        assert errors[0] < errors[1] < 25
        with pytest.raises(ImageError, match="does not fit into 99 bytes"):
            encode_jpeg(noise, 99)
