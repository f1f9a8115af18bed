"""The front door, and several cameras' frames as batches: who gets which part of what."""

from __future__ import annotations

import os
from pathlib import Path

import masking_fixtures as small
import numpy as np
import pytest
import torch

from samg_ros.errors import ConfigError, InvalidReferenceError, SamgError
from samg_ros.masking import encoders as loading
from samg_ros.masking.config import MaskerConfig
from samg_ros.masking.encoders import Encoded, Encoders
from samg_ros.masking.finder import TargetFinder
from samg_ros.masking.masker import Masker, build_masker, load_masker, load_references, to_host
from samg_ros.masking.reference import Reference, Target, View
from samg_ros.masking.result import FOUND, LOST, STATUS_NAMES, MaskResult, UniformFrames

OPTIONS = {"device": "cpu", "scale_steps": 5, "threads": 1}


pytestmark = pytest.mark.usefixtures("one_thread")


class CountingEncoders(Encoders):
    """Encoders that compare by colour, and keep the sizes of their batches."""

    def __init__(self) -> None:
        super().__init__(small.ScriptedSegmenter(targets=1), None)
        self.batches: list[tuple[int, ...]] = []

    def __call__(self, images: torch.Tensor) -> Encoded:
        self.batches.append(tuple(images.shape))
        return super().__call__(images)


class RedFinder:
    """Finds pixels of more red than its own threshold; the score is the mean of what was seen."""

    def __init__(self, threshold: int, names: tuple[str, ...] = ("red",)) -> None:
        self.threshold, self.target_names = threshold, names
        self.batches: list[int] = []

    def __call__(self, images: torch.Tensor, encoded: Encoded) -> MaskResult:
        self.batches.append(len(images))
        assert torch.equal(encoded.embedding.features, encoded.maps[0])
        mask = images[..., 0] > self.threshold
        targets = len(self.target_names)
        scores = encoded.maps[0].mean((1, 2, 3))[:, None].expand(-1, targets)
        status = torch.full(scores.shape, FOUND, dtype=torch.int8)
        points = scores[..., None, None].expand(-1, -1, 2, 2)
        labels = torch.ones(len(images), targets, 2, dtype=torch.int)
        every = mask[:, None].expand(-1, targets, -1, -1)
        names = self.target_names
        return MaskResult(names, images, mask, every, scores, scores, status, points, labels)


def routed(encoders: Encoders, finders: dict[str, RedFinder]) -> Masker:
    return Masker(encoders, finders, MaskerConfig(features="none", **OPTIONS))


def colours(seed: int, height: int, width: int) -> np.ndarray:
    return small.scene(seed, height, width)


class TestRouting:
    def test_every_frame_gets_its_own_cameras_answer(self):
        """Three sizes, two finders of which one serves three cameras, in any order."""
        shared, own = RedFinder(90), RedFinder(160, ("red", "hot", "warm"))
        finders = {"a": shared, "b": own, "c": shared, "d": shared}
        masker = routed(CountingEncoders(), finders)
        rng = np.random.default_rng(0)
        sizes = [(32, 48), (48, 32), (16, 16)]
        for round_ in range(20):
            frames = [
                (str(rng.choice(list("abcd"))), colours(20 * round_ + i, *sizes[rng.integers(3)]))
                for i in range(rng.integers(1, 9))
            ]
            for (camera, rgb), found in zip(frames, masker.mask_frames(frames), strict=True):
                finder = finders[camera]
                np.testing.assert_array_equal(found.mask, rgb[..., 0] > finder.threshold)
                assert tuple(found.targets) == finder.target_names
                assert found.score == pytest.approx(rgb.mean() / 255, abs=0.01)
                assert found.points.shape == (len(finder.target_names), 2, 2)
                assert found.points[0, 0, 0] == pytest.approx(found.score)
                np.testing.assert_array_equal(found.images, rgb)

    def test_one_size_is_encoded_once_and_sought_once_for_each_reference(self):
        shared, own = RedFinder(90), RedFinder(160)
        encoders = CountingEncoders()
        masker = routed(encoders, {"a": shared, "b": own, "c": shared, "d": own})
        masker.mask_frames([(camera, colours(1, 32, 48)) for camera in "abcd"])
        assert encoders.batches == [(4, 32, 48, 3)]
        assert shared.batches == own.batches == [2]

    def test_other_sizes_are_batches_of_their_own(self):
        finder, encoders = RedFinder(90), CountingEncoders()
        masker = routed(encoders, dict.fromkeys("abc", finder))
        sizes = {"a": (32, 48), "b": (16, 16), "c": (32, 48)}
        masker.mask_frames([(camera, colours(1, *size)) for camera, size in sizes.items()])
        assert sorted(encoders.batches) == [(1, 16, 16, 3), (2, 32, 48, 3)]
        assert sorted(finder.batches) == [1, 2]

    def test_no_frames(self):
        assert routed(CountingEncoders(), {"a": RedFinder(1)}).mask_frames([]) == []

    def test_frames_may_lie_anyhow_in_memory(self):
        rgb = colours(1, 32, 48)[::-1, ::-2]
        (found,) = routed(CountingEncoders(), {"a": RedFinder(90)}).mask_frames([("a", rgb)])
        np.testing.assert_array_equal(found.mask, rgb[..., 0] > 90)

    def test_too_much_for_the_device_says_what_to_lower(self):
        def full(images, encoded):
            raise torch.cuda.OutOfMemoryError("tried to allocate 9.00 GiB")

        masker = routed(CountingEncoders(), dict.fromkeys("ab", full))
        with pytest.raises(ConfigError, match=r"2 frames at once .* lower max_batch"):
            masker.mask_frames([("a", colours(1, 16, 16)), ("b", colours(2, 16, 16))])
        with pytest.raises(ConfigError, match=r"3 frames at once .* lower max_batch"):
            masker(np.zeros((3, 16, 16, 3), np.uint8), "a")


def statuses(found: MaskResult) -> dict[str, str]:
    return {name: target.status for name, target in found.targets.items()}


class TestResults:
    def test_statuses_and_scores(self):
        segmenter = small.ScriptedSegmenter(targets=2)
        encoders = Encoders(segmenter, None)
        config = MaskerConfig(features="none", **OPTIONS, **small.ANY_LIKENESS)
        finder = TargetFinder(encoders, small.two_targets(), config)
        table = [(0.9, 0.7), (0.9, 0.1), (0.1, 0.1)]
        segmenter.scores = torch.tensor(table)[..., None].expand(-1, -1, 3)
        masker = routed(encoders, dict.fromkeys("abc", finder))
        results = masker.mask_frames([(camera, colours(1, 60, 80)) for camera in "abc"])
        assert [r.status for r in results] == ["found", "low_confidence", "lost"]
        assert [r.lost for r in results] == [False, False, True]
        assert [r.score for r in results] == pytest.approx([0.7, 0.9, 0.0])
        assert statuses(results[1]) == {"ball": "found", "cup": "lost"}
        for result in results:
            assert result.mask.shape == (60, 80) and result.mask.dtype == np.bool_
            assert result.points.shape == (*result.labels.shape, 2) and result.labels.size >= 8

    def test_no_perception(self):
        frames = [("left", colours(0, 6, 8)), ("right", colours(0, 3, 4))]
        shown, hidden = UniformFrames(visible=True)(frames), UniformFrames(visible=False)(frames)
        assert [m.mask.shape for m in shown] == [m.mask.shape for m in hidden] == [(6, 8), (3, 4)]
        assert all(m.mask.all() and m.status == "found" and not m.lost for m in shown)
        assert not any(m.mask.any() or m.lost for m in hidden)
        assert all(m.score == 1 and not m.targets for m in shown + hidden)

    def test_a_mask_outlives_the_next_batch(self):
        masker = routed(CountingEncoders(), {"a": RedFinder(90)})
        first = masker.mask_frames([("a", colours(1, 32, 48))])[0].mask
        before = first.copy()
        masker.mask_frames([("a", colours(2, 32, 48))])
        np.testing.assert_array_equal(first, before)


class TestCopy:
    def test_keeps_types_shapes_and_values(self):
        generator = torch.Generator().manual_seed(0)
        tensors = [
            torch.rand(3, 5, generator=generator) > 0.5,
            torch.rand(2, 3, 4, generator=generator),
            torch.randint(-128, 128, (7,), generator=generator, dtype=torch.int8),
            torch.randint(0, 9, (3, 2), generator=generator, dtype=torch.int).t(),
            torch.zeros(2, 0, 4),
            torch.tensor(3.5),
            torch.rand(2, 6, generator=generator)[:, ::2].double().expand(2, 3),
        ]
        arrays = to_host(tensors)
        for tensor, array in zip(tensors, arrays, strict=True):
            expected = tensor.numpy()
            assert array.dtype == expected.dtype and array.flags.aligned
            np.testing.assert_array_equal(array, expected)

    def test_nothing(self):
        assert to_host([]) == []


def other_reference() -> Reference:
    image = small.scene(7, 60, 80)
    block = np.zeros((60, 80), bool)
    block[5:30, 40:70] = True
    return Reference((View(image, (Target("block", block, small.points((50, 20))),)),))


class TestAgainstSinglePictures:
    def test_a_batch_of_cameras_equals_one_frame_at_a_time(self, monkeypatch):
        """The whole method with random weights: both references, two sizes."""
        config = MaskerConfig(lost_score=0.0, min_score=0.0, **small.ANY_LIKENESS, **OPTIONS)
        models = {
            config.segmenter: small.segmenter_of(small.random_sam2()),
            config.features: small.features_of(small.random_dino(), small.DINO_LAYERS),
        }
        monkeypatch.setattr(loading, "_load", lambda _, name, *rest: models[name])
        references = {"left": small.two_targets(), "right": other_reference()}
        references["wrist"] = references["left"]
        frames = [
            ("left", small.scene(11, 60, 80)),
            ("right", small.scene(12, 60, 80)),
            ("wrist", small.scene(13, 60, 80)),
            ("right", small.scene(14, 40, 40)),
        ]
        results = build_masker(references, config).mask_frames(frames)
        for (camera, rgb), found in zip(frames, results, strict=True):
            single = build_masker(references[camera], config)
            alone = single(torch.from_numpy(rgb)[None])
            assert found.names == single.target_names
            assert found.mask.shape == rgb.shape[:2]
            # Sums in another order move a few pixels on the edge.
            assert (found.mask == alone.mask[0].numpy()).mean() > 0.99
            assert found.score == pytest.approx(float(alone.score[0]), abs=1e-3)
            np.testing.assert_allclose(found.points, alone.points[0], atol=1e-5)
            np.testing.assert_array_equal(found.labels, alone.labels[0])


class TestBuilding:
    @pytest.fixture
    def files(self, tmp_path: Path) -> dict[str, Path]:
        made = {"two": small.two_targets(), "block": other_reference()}
        for name, reference in made.items():
            reference.save(tmp_path / f"{name}.npz")
        return {name: tmp_path / f"{name}.npz" for name in made}

    def test_a_file_is_read_once_however_it_is_called(self, files: dict[str, Path]):
        (files["two"].parent / "link.npz").symlink_to(files["two"])
        names = {
            "a": str(files["two"]),
            "b": os.path.relpath(files["two"]),
            "c": str(files["block"]),
            "d": str(files["two"].parent / "link.npz"),
        }
        loaded = load_references(names)
        assert list(loaded) == list("abcd")
        assert loaded["a"] is loaded["b"] is loaded["d"] is not loaded["c"]
        assert loaded["c"].names == ("block",)

    def test_a_missing_file_is_named(self, files: dict[str, Path]):
        with pytest.raises(InvalidReferenceError, match=r"nowhere\.npz"):
            load_references({"a": str(files["two"]), "b": "nowhere.npz"})

    def test_models_are_loaded_once_and_references_set_once(self, monkeypatch):
        made: list[str] = []

        def load(_, name, *rest):
            made.append(name)
            return segmenter

        segmenter = small.ScriptedSegmenter(targets=2)
        monkeypatch.setattr(loading, "_load", load)
        config = MaskerConfig(features="none", **{**OPTIONS, "scale_steps": 0})
        reference = small.two_targets()
        references = {"a": reference, "b": small.two_targets(), "c": reference}
        masker = build_masker(references, config)
        assert made == [config.segmenter]
        segmenter.prompts.clear()
        results = masker.mask_frames([(camera, colours(1, 60, 80)) for camera in "abc"])
        assert [r.names for r in results] == [("ball", "cup")] * 3
        assert {len(prompts.points) for prompts in segmenter.prompts} == {1, 2}


def test_frames_are_lost_where_their_status_says_so():
    nothing = np.zeros((2, 2), bool)
    given = [MaskResult.given(nothing, nothing, {"ball": name}) for name in STATUS_NAMES]
    assert [one.status for one in given] == list(STATUS_NAMES)
    assert [one.lost for one in given] == [code == LOST for code in range(len(STATUS_NAMES))]


class TestFrontDoor:
    """One masker for arrays and tensors, single pictures and batches."""

    @pytest.fixture
    def masker(self) -> Masker:
        return routed(CountingEncoders(), {"": RedFinder(90, ("red", "hot"))})

    @pytest.mark.parametrize("kind", ["array", "tensor"])
    def test_of_one_picture(self, masker: Masker, kind: str):
        rgb = colours(1, 32, 48)
        found = masker(rgb if kind == "array" else torch.from_numpy(rgb))
        expected = rgb[..., 0] > 90
        whole = found.mask, found.rgb, found.targets["hot"].mask, found.targets["hot"].score
        kinds = {type(one) for one in whole}
        assert kinds == ({np.ndarray, float} if kind == "array" else {torch.Tensor})
        mask, masked, hot, score = map(np.asarray, whole)
        assert mask.dtype == hot.dtype == bool and masked.dtype == np.uint8
        np.testing.assert_array_equal(mask, expected)
        np.testing.assert_array_equal(hot, expected)
        np.testing.assert_array_equal(masked, rgb * expected[..., None])
        assert score == float(found.score) and score.shape == ()
        assert found.status == found.targets["red"].status == "found" and not found.lost
        assert list(found.targets) == ["red", "hot"]
        with pytest.raises(TypeError, match="of one picture"):
            len(found)

    @pytest.mark.parametrize("kind", ["array", "tensor"])
    def test_of_a_batch(self, masker: Masker, kind: str):
        stack = np.stack([colours(seed, 32, 48) for seed in range(3)])
        found = masker(stack if kind == "array" else torch.from_numpy(stack))
        assert found.mask.shape == (3, 32, 48) and found.rgb.shape == stack.shape
        assert found.targets["red"].mask.shape == (3, 32, 48)
        assert found.targets["red"].likeness.shape == found.score.shape == (3,)
        assert found.status.tolist() == ["found"] * 3 and not found.lost.any()
        assert len(found) == 3
        for one, rgb in zip(found, stack, strict=True):
            np.testing.assert_array_equal(one.rgb, rgb * (rgb[..., :1] > 90))
            assert one.status == "found"

    def test_a_picture_may_be_overwritten_before_its_result_is_read(self, masker: Masker):
        """As environments do that render into one array."""
        rgb = colours(1, 32, 48)
        before = rgb.copy()
        found = masker(rgb)
        rgb[:] = 0
        np.testing.assert_array_equal(found.rgb, before * (before[..., :1] > 90))

    def test_a_picture_that_may_not_be_written_to(self, masker: Masker):
        rgb = colours(1, 32, 48)
        rgb.flags.writeable = False
        np.testing.assert_array_equal(masker(rgb).mask, rgb[..., 0] > 90)
        np.testing.assert_array_equal(masker(rgb[::-1, ::-2]).mask, rgb[::-1, ::-2, 0] > 90)

    def test_what_is_not_asked_for_is_not_computed(self, masker: Masker):
        """Neither the masked picture, nor the targets' own masks on the host."""
        rgb = colours(1, 32, 48)
        found = masker(rgb)
        assert not {"rgb", "target_masks"} & vars(found).keys()
        assert found.rgb is found.rgb and found.target_masks is found.target_masks

    def test_of_several_cameras_one_is_named(self):
        masker = routed(CountingEncoders(), {"left": RedFinder(90), "right": RedFinder(160)})
        rgb = colours(1, 32, 48)
        np.testing.assert_array_equal(masker(rgb, "right").mask, rgb[..., 0] > 160)
        assert masker.cameras == ("left", "right")
        with pytest.raises(ConfigError, match=r"no camera is named.*One of: left, right"):
            masker(rgb)
        with pytest.raises(ConfigError, match=r"there is no camera 'wrist'.*left, right"):
            masker.mask_frames([("wrist", rgb)])


class TestLoading:
    @pytest.fixture
    def scripted(self, monkeypatch) -> list[str]:
        """Loads a scripted model for any name; gives the names."""
        made: list[str] = []
        script = small.ScriptedSegmenter(targets=2)
        monkeypatch.setattr(loading, "_load", lambda _, name, *rest: made.append(name) or script)
        return made

    def test_of_a_reference_a_file_or_a_task(self, scripted: list[str], tmp_path: Path):
        reference = small.two_targets()
        reference.save(tmp_path / "two.npz")
        options = {"features": "none", "device": "cpu", "scale_steps": 0}
        for one in (reference, tmp_path / "two.npz", str(tmp_path / "two.npz")):
            assert load_masker(one, **options).target_names == ("ball", "cup")
        assert load_masker("walker_walk", **options).target_names == ("walker",)
        both = load_masker({"a": reference, "b": "walker_walk"}, **options)
        assert both.cameras == ("a", "b") and both.target_names == ("ball", "cup", "walker")
        assert both.config.features == "none" and len(scripted) == 5

    @pytest.mark.parametrize(
        ("reference", "options", "reason"),
        [
            ("nothing", {}, "no reference 'nothing': neither a file nor one of adroit_door"),
            ("walker_walk", {"devise": "cpu"}, "no option 'devise' of the masker; choose of: met"),
            ("walker_walk", {"threads": "2"}, "threads is '2'; it must be a whole number"),
            ("walker_walk", {"method": "good"}, "method is 'good'; choose one of: best, paper"),
            (3, {}, "the reference is a int; give a Reference"),
            ({}, {}, "no camera; give at least one reference"),
        ],
    )
    def test_what_is_refused(self, scripted, reference, options: dict, reason: str):
        with pytest.raises(SamgError, match=reason):
            load_masker(reference, **options)
