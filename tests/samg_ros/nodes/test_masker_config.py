"""Which cameras and references the masker node is given, and what waits for its mask."""

from __future__ import annotations

import pytest

from samg_ros.errors import ConfigError
from samg_ros.nodes.config import ONLY, MaskerNodeConfig
from samg_ros.nodes.masker_queue import MAX_WAITING, Pairs

TWO = {"cameras": ["left", "right"]}


class TestCameras:
    def test_none_named_is_one_without_a_name(self):
        config = MaskerNodeConfig(reference="cup.npz")
        assert config.camera_names == [ONLY]
        assert config.reference_names == {ONLY: "cup.npz"}

    @pytest.mark.parametrize("name", ["left", "_2", "front/left", "Arm3/wrist_cam"])
    def test_names_that_ros_takes(self, name: str):
        assert MaskerNodeConfig(cameras=[name], reference="r").camera_names == [name]

    @pytest.mark.parametrize(
        "name", ["2left", "left cam", "/left", "left/", "a//b", "a/2", "~", "kamera_ä", "x" * 101]
    )
    def test_names_that_ros_does_not_take(self, name: str):
        with pytest.raises(ConfigError, match="cannot be part of a topic"):
            MaskerNodeConfig(cameras=["right", name], reference="r")

    def test_one_twice(self):
        with pytest.raises(ConfigError, match="'left' is there twice"):
            MaskerNodeConfig(cameras=["left", "right", "left"], reference="r")


class TestReferences:
    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ({"references": ["a", "b"]}, ["a", "b"]),
            ({"references": ["a"]}, ["a", "a"]),
            ({"reference": "a"}, ["a", "a"]),
            ({"mask_source": "none"}, ["", ""]),
        ],
    )
    def test_by_camera(self, given: dict, expected: list[str]):
        names = MaskerNodeConfig(**TWO, **given).reference_names
        assert names == dict(zip(TWO["cameras"], expected, strict=True))

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (TWO, "the cameras have no reference; set 'references'"),
            ({**TWO, "references": ["a"] * 3}, "there are 2 cameras and 3 references"),
            ({**TWO, "references": ["a", "b"], "reference": "c"}, "which of them is meant"),
            ({"references": ["a"]}, "for a single one set 'reference'"),
        ],
    )
    def test_that_do_not_fit(self, given: dict, message: str):
        with pytest.raises(ConfigError, match=message):
            MaskerNodeConfig(**given)

    def test_a_single_camera_without_is_left_to_configure(self):
        """Its error is a failed transition, after which a manager may try again."""
        assert MaskerNodeConfig().reference_names == {ONLY: ""}


class TestPairs:
    def test_meet_in_either_order(self):
        pairs: Pairs[str] = Pairs()
        assert pairs.add_frame(1, "frame 1") is None
        assert pairs.add_mask(2, "mask 2") is None
        assert pairs.add_mask(1, "mask 1") == ("frame 1", "mask 1")
        assert pairs.add_frame(2, "frame 2") == ("frame 2", "mask 2")

    def test_meet_once(self):
        pairs: Pairs[str] = Pairs()
        pairs.add_frame(1, "frame")
        assert pairs.add_mask(1, "mask")
        assert pairs.add_mask(1, "mask") is None

    def test_of_the_same_stamp_the_newest_counts(self):
        pairs: Pairs[str] = Pairs()
        pairs.add_frame(0, "first")
        pairs.add_frame(0, "second")
        assert pairs.add_mask(0, "mask") == ("second", "mask")

    def test_the_oldest_are_given_up(self):
        pairs: Pairs[str] = Pairs()
        for stamp in range(MAX_WAITING + 2):
            pairs.add_frame(stamp, "frame")
        assert pairs.give_up() == 2 and pairs.give_up() == 0
        assert pairs.add_mask(1, "mask") is None
        assert pairs.add_mask(2, "mask") == ("frame", "mask")
        assert pairs.give_up() == 0
