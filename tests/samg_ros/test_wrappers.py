"""Environments behind a masker: what they show, what they tell, and what is refused."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

gym = pytest.importorskip("gymnasium", reason="gymnasium is not installed: it is in [sim]")

from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import samg_ros
from samg_ros.errors import ConfigError, WeightsError
from samg_ros.masking.result import MaskResult
from samg_ros.masking.scores import iou
from samg_ros.weights.resolve import resolve
from samg_ros.wrappers import MaskedObservation, MaskedVectorObservation

SIZE = (24, 32)
PICTURE = spaces.Box(0, 255, (*SIZE, 3), np.uint8)
NUMBERS = spaces.Box(-1, 1, (2,), np.float32)
LENGTH = 4


class Square(gym.Env):
    """A red square that moves to the right; gone in every third picture. Renders upside down,
    into one array, as simulators do."""

    metadata = {"render_modes": []}  # noqa: RUF012
    action_space = spaces.Discrete(2)

    def __init__(self, form: str = "picture") -> None:
        self._form = form
        self._buffer = np.zeros((*SIZE, 3), np.uint8)
        self.observation_space: spaces.Space = PICTURE
        if form == "dict":
            self.observation_space = spaces.Dict(rgb=PICTURE, joints=NUMBERS)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self._left = int(self.np_random.integers(4))
        self._steps = 0
        return self._observation(), {"own": 1}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict]:
        self._steps += 1
        return self._observation(), 1.0, self._steps == LENGTH, False, {"own": 1}

    def _observation(self) -> Any:
        self._buffer[:] = (20, 60, 120)
        if self._steps % 3 != 2:
            column = self._left + 3 * self._steps
            self._buffer[4:12, column : column + 8] = (230, 20, 20)
        rgb = self._buffer[::-1]
        return rgb if self._form == "picture" else {"rgb": rgb, "joints": np.zeros(2, np.float32)}


class Red:
    """Stands in for a masker; counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, ...]] = []

    def __call__(self, rgb: np.ndarray) -> MaskResult:
        self.asked.append(rgb.shape)
        mask = rgb[..., 0] > 150
        if rgb.ndim == 3:
            return MaskResult.given(rgb, mask, {"square": "found" if mask.any() else "lost"})
        found = mask.any((1, 2))[:, None]
        ones, nothing = np.ones(found.shape, np.float32), np.zeros((*found.shape, 0), np.int32)
        codes = np.where(found, 2, 0).astype(np.int8)
        prompts = np.zeros((*found.shape, 0, 2), np.float32), nothing
        return MaskResult(("square",), rgb, mask, mask[:, None], ones, ones, codes, *prompts)


def episode(env: gym.Env) -> list[tuple[Any, dict]]:
    shown = [env.reset(seed=0)]
    for _ in range(LENGTH):
        observation, _, _, _, info = env.step(0)
        shown.append((observation, info))
    return shown


def raw_pictures() -> list[np.ndarray]:
    """Of the same episode, copied while they are there."""
    env = Square()
    return [env.reset(seed=0)[0].copy(), *(env.step(0)[0].copy() for _ in range(LENGTH))]


class TestOneEnvironment:
    def test_shows_the_targets_alone_and_tells_what_it_found(self):
        raw = raw_pictures()
        shown = episode(MaskedObservation(Square(), Red()))
        assert len(raw) == len(shown) == LENGTH + 1
        for picture, (observation, info) in zip(raw, shown, strict=True):
            mask = picture[..., 0] > 150
            np.testing.assert_array_equal(observation, picture * mask[..., None])
            np.testing.assert_array_equal(info["mask"], mask)
            assert info["mask_status"] == ("found" if mask.any() else "lost")
            assert info["own"] == 1

    def test_keeps_gymnasiums_contract(self):
        check_env(MaskedObservation(Square(), Red()), skip_render_check=True)
        check_env(MaskedObservation(Square("dict"), Red()), skip_render_check=True)

    @pytest.mark.parametrize("key", [None, "rgb"])
    def test_leaves_the_rest_of_a_dict_alone(self, key: str | None):
        env = MaskedObservation(Square("dict"), Red(), key)
        assert env.observation_space == Square("dict").observation_space
        for observation, info in episode(env):
            assert set(observation) == {"rgb", "joints"}
            assert not observation["rgb"][~info["mask"]].any()

    def test_what_a_lost_picture_becomes(self):
        raw = raw_pictures()
        held, through, blank = (
            episode(MaskedObservation(Square(), Red(), on_lost=behaviour))
            for behaviour in ("hold", "passthrough", "blank")
        )
        lost = 2  # the step in which the square is gone
        np.testing.assert_array_equal(held[lost][1]["mask"], held[lost - 1][1]["mask"])
        np.testing.assert_array_equal(through[lost][0], raw[lost])
        assert not blank[lost][0].any()
        assert {shown[lost][1]["mask_status"] for shown in (held, through, blank)} == {"lost"}

    def test_an_episode_holds_no_mask_of_the_one_before(self):
        class Gone(Square):
            def step(self, action: int) -> tuple[Any, float, bool, bool, dict]:
                self._steps = 1  # the next picture is one without the square
                return super().step(action)

            def reset(self, **given: Any) -> tuple[Any, dict]:
                observation, info = super().reset(**given)
                observation[...] = 0
                return observation, info

        env = MaskedObservation(Gone(), Red(), on_lost="hold")
        env._lost(np.ones(SIZE, bool), False)
        env.reset(seed=1)
        observation, _, _, _, info = env.step(0)
        assert not info["mask"].any() and not observation.any()

    def test_a_real_masker_may_stand_there(self):
        """Gymnasium's own render observation, and a masker of random weights."""
        import masking_fixtures as small

        from samg_ros.masking.encoders import Encoders
        from samg_ros.masking.masker import Masker

        config = samg_ros.MaskerConfig(device="cpu", features="none", scale_steps=0)
        script = small.ScriptedSegmenter(targets=2)
        masker = Masker.build(Encoders(script, None), small.two_targets(), config)
        env = MaskedObservation(Square(), masker)
        observation, info = env.reset(seed=0)
        assert observation.shape == (*SIZE, 3) and info["mask"].shape == SIZE
        assert info["mask_status"] in ("found", "low_confidence", "lost")

    @pytest.mark.parametrize(
        ("space", "options", "reason"),
        [
            (NUMBERS, {}, "not an RGB picture; give RGB, uint8"),
            (spaces.Box(0, 255, (3, 24, 32), np.uint8), {}, "not an RGB picture; give RGB"),
            (PICTURE, {"key": "rgb"}, "not a Dict"),
            (spaces.Dict(joints=NUMBERS), {}, "should be an RGB picture.*none is"),
            (spaces.Dict(a=PICTURE, b=PICTURE), {}, "not clear what to mask: one of 'a', 'b'"),
            (spaces.Dict(a=PICTURE), {"key": "b"}, r"'b' of 'a' should be .*; 'a' is\. Name it"),
            (PICTURE, {"on_lost": "stop"}, "on_lost is 'stop'; choose one of: hold, pass"),
        ],
    )
    def test_what_is_refused(self, space: spaces.Space, options: dict, reason: str):
        env = Square()
        env.observation_space = space
        with pytest.raises(ConfigError, match=reason):
            MaskedObservation(env, Red(), **options)


class TestVector:
    @pytest.mark.parametrize("form", ["picture", "dict"])
    @pytest.mark.parametrize("on_lost", ["blank", "hold"])
    def test_equals_single_environments(self, form: str, on_lost: str):
        """Over the end of an episode, and in one call of the masker a step."""
        seeds, masker = [3, 4, 5], Red()
        vector = MaskedVectorObservation(
            SyncVectorEnv([partial(Square, form)] * 3), masker, on_lost=on_lost
        )
        observations, infos = vector.reset(seed=seeds)
        alone = [MaskedObservation(Square(form), Red(), on_lost=on_lost) for _ in seeds]
        expected = [env.reset(seed=seed) for env, seed in zip(alone, seeds, strict=True)]
        ended = False
        for _ in range(2 * LENGTH + 3):
            shown = observations if form == "picture" else observations["rgb"]
            for place, (observation, info) in enumerate(expected):
                picture = observation if form == "picture" else observation["rgb"]
                np.testing.assert_array_equal(shown[place], picture)
                np.testing.assert_array_equal(infos["mask"][place], info["mask"])
                assert infos["mask_status"][place] == info["mask_status"]
            observations, _, terminated, _, infos = vector.step(np.zeros(3, int))
            expected = [
                env.reset() if ended else (one := env.step(0))[:1] + one[4:] for env in alone
            ]
            ended = bool(terminated[0])
        assert masker.asked == [(3, *SIZE, 3)] * (2 * LENGTH + 4)

    def test_one_that_resets_within_a_step_is_refused(self):
        env = SyncVectorEnv([Square] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
        with pytest.raises(ConfigError, match="autoreset_mode NEXT_STEP or DISABLED"):
            MaskedVectorObservation(env, Red())

    def test_some_may_be_reset_alone(self):
        env = SyncVectorEnv([Square] * 2, autoreset_mode=AutoresetMode.DISABLED)
        vector = MaskedVectorObservation(env, Red(), on_lost="hold")
        vector.reset(seed=1)
        for lost in vector._lost:
            lost(np.ones(SIZE, bool), False)
        before = list(vector._lost)
        vector.reset(seed=1, options={"reset_mask": np.array([True, False])})
        assert [one is two for one, two in zip(vector._lost, before, strict=True)] == [False, True]


@pytest.fixture
def walker() -> gym.Env:
    """DeepMind's walker, through shimmy, with its picture beside its numbers."""
    for name, extra in (("mujoco", "sim"), ("shimmy", "dev")):
        if find_spec(name) is None:
            pytest.skip(f"{name} is not installed: pip install 'samg_ros[{extra}]'")
    import_module("sim_bridge.render.renderer")  # first, as it sets what MuJoCo renders with
    gym.register_envs(import_module("shimmy"))
    size = {"height": 128, "width": 128, "camera_id": 0}
    env = gym.make("dm_control/walker-walk-v0", render_mode="rgb_array", render_kwargs=size)
    yield gym.wrappers.AddRenderObservation(env, render_only=False)
    env.close()


class TestDmControl:
    def test_numbers_stay_and_pictures_are_masked(self, walker: gym.Env):
        class Bright(Red):
            def __call__(self, rgb: np.ndarray) -> MaskResult:
                return MaskResult.given(rgb, rgb[..., 0] > 100)

        env = MaskedObservation(walker, Bright(), key="pixels")
        observation, info = env.reset(seed=0)
        raw, _ = walker.reset(seed=0)
        assert set(observation) == set(raw) > {"pixels"}
        np.testing.assert_array_equal(
            observation["pixels"], raw["pixels"] * (raw["pixels"][..., :1] > 100)
        )
        assert 0 < info["mask"].mean() < 1
        assert env.step(env.action_space.sample())[0]["pixels"].shape == (128, 128, 3)

    @pytest.mark.slow
    def test_the_shipped_reference_finds_its_walker(self, walker: gym.Env):
        try:
            resolve("sam2_hiera_tiny"), resolve("dinov2_small")
        except WeightsError as error:
            pytest.skip(f"the weights cannot be had here: {error}")
        options = {"device": "cpu", "views": 2, "input_size": 512}  # half the time of the defaults
        env = MaskedObservation(walker, samg_ros.load_masker("walker_walk", **options))
        env.reset(seed=0)
        env.action_space.seed(0)
        overlaps = []
        for _ in range(2):
            observation, _, _, _, info = env.step(env.action_space.sample())
            physics = env.unwrapped.unwrapped._env.physics
            kinds = physics.render(128, 128, camera_id=0, segmentation=True)
            floor = physics.model.name2id("floor", "geom")
            truth = (kinds[..., 1] == 5) & (kinds[..., 0] != floor)
            overlaps.append(iou(info["mask"], truth))
            assert info["mask_status"] == "found"
            assert not observation["pixels"][~info["mask"]].any()
        assert np.mean(overlaps) > 0.8, overlaps
